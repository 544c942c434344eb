"""Where in a payload a stream's fields begin, and which types a schema declares there.

A field's path begins at the top, in the elements of an array, or in the row or data inside of an envelope.
"""

from collections.abc import Mapping

from ingestion.declare.stream import Stream
from ingestion.formats.port import NamedSchema, Surroundings

Place = tuple[str, ...]
"""Keys from the top of a payload; arrays on the way stand for their elements."""
Types = Mapping[Place, str]
"""Field → type, of what a schema declares at the top and where the stream's fields begin."""
_ROW: Place = ("after",)
_ROWS: tuple[Place, ...] = (_ROW, ("payload", "after"), ("before",), ("payload", "before"))
_DATA: Place = ("data",)
_ATTRIBUTE: Place = ("specversion",)


def inner_place(stream: Stream) -> Place | None:
    """Where the paths of a stream's fields begin; None where no schema shows that: behind an index, say."""
    if stream.envelope == "debezium":
        return _ROW
    if stream.envelope == "cloudevents":
        return _DATA
    steps = stream.elements.steps if stream.elements else ()
    keys = tuple(step for step in steps if isinstance(step, str))
    return keys if len(keys) == len(steps) else None


def types_at(stream: Stream, name: str, schema: NamedSchema, around: Surroundings) -> Types | None:
    """What a schema declares of a stream's payloads.

    Args:
        stream: The stream.
        name: As its values name the schema.
        schema: The same, as it declares the top of a payload.
        around: Where the stream is.

    Returns:
        None where it does not say what a payload has.
    """
    if schema.fields is None:
        return None
    top: dict[Place, str] = {(field.path,): field.type for field in schema.fields}
    inside = inner_place(stream)
    if not inside:
        return top
    tried = _ROWS if inside == _ROW else (inside,)
    if inside == _DATA and _ATTRIBUTE not in top:
        tried = ((),)  # the attributes are headers, and the payload is the data
    for within in tried:
        found = stream.format.options.named_schema(name, around, within=within)
        if found is not None and found.fields:
            return top | {(*inside, field.path): field.type for field in found.fields}
    return top


def is_hidden(place: Place, types: Types) -> bool:
    """Whether a schema has what is round a place, and does not say what is in it."""
    within = place[:-1]
    return bool(within) and within[:1] in types and not any(each[:-1] == within for each in types)


def write_place(place: Place) -> str:
    """A place for people, as `lines.sku`."""
    return ".".join(place)
