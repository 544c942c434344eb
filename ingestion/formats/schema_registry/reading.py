"""Values that name their schemas, read one by one: the same for every format.

What a schema of its kind makes of bytes is the format's.
"""

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from ingestion.formats.each import Quick, read_each, read_quickly
from ingestion.formats.port import Refusal, Surroundings, Texts
from ingestion.formats.schema_registry.registry import MOST_UNKNOWN, Registered, open_registry
from ingestion.formats.schema_registry.wire import Named, NotNamed, ids_in, may_have_header, named
from ingestion.log.notation import bytes_as_text

UNKNOWN_SCHEMA = "unknown_schema"
UNUSABLE_SCHEMA = "unusable_schema"
REASONS = frozenset({UNKNOWN_SCHEMA, UNUSABLE_SCHEMA})

ReadNamed = Callable[[Named], bytes | Refusal]
"""A value of one schema → JSON text, or why there is none; raises nothing."""
ReaderOf = Callable[[Registered, str], ReadNamed]
"""A schema and the topic of values → what reads them; raises SchemaUnusable, FormatUnavailable."""
QuickOf = Callable[[Registered, str], Quick | None]
"""The same for many values of one schema, without what names it; None where they are read one by one."""


class SchemaUnusable(ValueError):
    """A schema of the registry is not one that values can be read by; the message says why."""


def read_registered(
    events: pa.Table, around: Surroundings, *, kind: str, not_named: str, reader_of: ReaderOf,
    quick_of: QuickOf | None = None,
) -> Texts:  # fmt: skip
    """Decode some events by the schema that each of them names.

    Args:
        events: Rows of SOURCE_SCHEMA.
        around: What surrounds them.
        kind: What the registry calls the format: AVRO, PROTOBUF or JSON.
        not_named: The reason of a value that names no schema.
        reader_of: Makes what reads the values of a schema; called once a schema and topic.
        quick_of: Makes what reads many of them, where the format has that.

    Raises:
        FormatUnavailable: The registry does not answer.
    """
    names = ids_in(events, is_key=around.is_key)
    asked = [name for name, _ in names.most_common()]
    found = open_registry(around.settings).find(asked) if asked else {}
    readers: dict[tuple[str, str], ReadNamed] = {}
    usable = set[str]()
    every_topic = _topics(events, around)
    topics = iter(every_topic)
    with_headers = may_have_header(events)

    def made(name: str, topic: str) -> ReadNamed:
        schema = found.get(name)
        if schema is None:
            return _refusing(UNKNOWN_SCHEMA, _unknown(name, len(names) - len(found)))
        if schema.kind != kind:
            return _refusing(UNUSABLE_SCHEMA, f"schema {name} is of kind {schema.kind}, not {kind}")
        try:
            reads = reader_of(schema, topic)
        except SchemaUnusable as error:
            return _refusing(UNUSABLE_SCHEMA, f"schema {name} cannot be used: {error}")
        usable.add(name)
        return reads

    def read(value: bytes, headers: str | None) -> bytes | Refusal:
        topic = next(topics)
        try:
            said = named(value, headers if with_headers else None, is_key=around.is_key)
        except NotNamed as error:
            return Refusal(not_named, str(error))
        place = (said.id, topic)
        if place not in readers:
            readers[place] = made(said.id, topic)
        return readers[place](said)

    quick = None
    if quick_of is not None and len(names) == 1 and not with_headers and len(set(every_topic)) == 1:
        schema = found.get(asked[0])
        whole = None if schema is None or schema.kind != kind else quick_of(schema, every_topic[0])
        quick = None if whole is None else _after_the_prefix(events["value"], whole)
        usable.update(asked if quick is not None else ())
    texts = read_each(events, around, read) if quick is None else read_quickly(events, around, quick, read)
    return Texts(texts.payload, texts.refused, schemas=tuple(each for each in names if each in usable))


def _after_the_prefix(values: pa.ChunkedArray, quick: Quick) -> Quick | None:
    """The quick way for values behind one prefix; None where the first one has none."""
    first = values.drop_null()[0].as_py()
    try:
        rest = named(first, None, is_key=False).rest
    except NotNamed:
        return None
    prefix = first.removesuffix(rest) if rest else first

    def read(some: pa.Array) -> pa.Array | None:
        if not pc.all(pc.starts_with(some, prefix)).as_py():
            return None
        # pyarrow 26's binary_slice fails on some arrays ("Negative buffer resize").
        return quick(pa.array([value[len(prefix) :] for value in some.to_pylist()], pa.binary()))

    return read


def _topics(events: pa.Table, around: Surroundings) -> list[str]:
    """The topic of each event with a value; empty where it has none."""
    values = events["value"].is_valid().to_pylist()
    if not around.topic_column:
        return [around.topic] * sum(values)
    places = events[around.topic_column].to_pylist()
    if around.topic_column == "event_key":
        made = [bytes_as_text(each or b"") for each in places]
    else:
        made = [each.rpartition("-")[0] for each in places]
    return [topic for topic, there in zip(made, values, strict=True) if there]


def _unknown(name: str, count: int) -> str:
    more = f" (one of {count}; at most {MOST_UNKNOWN} are asked about)" if count > MOST_UNKNOWN else ""
    return (
        f"the registry does not know schema {name}{more}: is it another registry's? Once it is registered, "
        "'millrace rejects retry' lands the event"
    )


def _refusing(reason: str, detail: str) -> ReadNamed:
    return lambda _: Refusal(reason, detail)
