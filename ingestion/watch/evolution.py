"""What changed from one version of a stream's schema to the next, and which declared fields that touches.

Only what is kept in the data folder is compared, at the places of schema_places.py. No registry is asked.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ingestion.declare.stream import Stream
from ingestion.errors import ConfigError
from ingestion.formats.port import NamedSchema, Surroundings
from ingestion.settings import Settings
from ingestion.watch.schema_places import Types, inner_place, is_hidden, types_at, write_place
from ingestion.watch.schemas_used import SchemaUse

IN_USE = timedelta(hours=1)
"""A version is in use while it came within this time before the newest events of its kind."""
MOST_COMPARED = 20
"""Versions of a stream: the newest ones."""
_WHOLE_DIGITS = {"integer": 10, "bigint": 19}
_DECIMAL = re.compile(r"decimal\((\d+), ?(\d+)\)")
_Found = tuple[SchemaUse, NamedSchema | None, Types | None]


@dataclass(frozen=True)
class Version:
    """A schema that a stream's values were written with.

    Attributes:
        name: Its number in the registry, or its GUID.
        number: Of its version in its subject; 0 where that is not known.
        since: When the first batch with it was read, UTC.
        last_at: When the newest batch with it was read, UTC.
        in_use: It came until lately.
        added: Fields that the version before it does not have, with their types.
        gone: Fields of the version before it that it does not have: a breaking change.
        retyped: Fields of another type than in the version before it, with both: a breaking change.
    """

    name: str
    number: int
    since: datetime
    last_at: datetime
    in_use: bool
    added: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    retyped: tuple[str, ...] = ()

    @property
    def changes(self) -> str:
        """What it changed, for people; empty where that is nothing."""
        named = (("new", self.added), ("gone", self.gone), ("type", self.retyped))
        return "; ".join(f"{what}: {', '.join(fields)}" for what, fields in named if fields)

    @property
    def breaks(self) -> bool:
        """Whether what reads the version before it may miss something."""
        return bool(self.gone or self.retyped)


@dataclass(frozen=True)
class Touched:
    """A declared field that newer events do not have as it is declared.

    Attributes:
        field: Its name.
        what: What happened to it, as a part of a sentence.
        since: When the first batch without it was read, UTC.
        version: The version that changed it.
    """

    field: str
    what: str
    since: datetime
    version: Version


@dataclass(frozen=True)
class Evolution:
    """The versions of one thing that a stream's values are.

    Attributes:
        subject: Under which subject of the registry it stands, else its full name; may be empty.
        versions: The oldest first.
        touched: What the newest one in use changed of the declared fields.
    """

    subject: str
    versions: tuple[Version, ...]
    touched: tuple[Touched, ...] = ()

    @property
    def newest(self) -> Version:
        """The newest version in use."""
        return [each for each in self.versions if each.in_use][-1]

    def label(self, version: Version) -> str:
        """A version for people, as in `orders-value version 3 (schema 703)`."""
        if self.subject and version.number:
            return f"{self.subject} version {version.number} (schema {version.name})"
        return f"schema {version.name}"


def evolutions(stream: Stream, uses: Sequence[SchemaUse], settings: Settings) -> tuple[Evolution, ...]:
    """How the schemas of a stream's values have changed: one a subject, or a record's name.

    Args:
        stream: The stream.
        uses: The schemas that its values named.
        settings: Where they are kept.
    """
    around = Surroundings(settings.payload_max_bytes, settings, topic=_topic(stream))
    groups: dict[str, list[_Found]] = {}
    for use in sorted(uses, key=lambda each: each.first_at)[-MOST_COMPARED:]:
        schema = stream.format.options.named_schema(use.name, around)
        group = (schema.record or schema.subject) if schema else use.name
        types = types_at(stream, use.name, schema, around) if schema else None
        groups.setdefault(group, []).append((use, schema, types))
    return tuple(_evolution(stream, each) for each in groups.values())


def holds(declared: str, sent: str) -> bool:
    """Whether every value of a type can be read as another one.

    Args:
        declared: As streams.yml writes it.
        sent: The same of what is sent.
    """
    if declared in (sent, "varchar", "json"):
        return True
    if declared == "double":
        return sent in _WHOLE_DIGITS or _DECIMAL.fullmatch(sent) is not None
    if declared == "bigint":
        return sent == "integer"
    if declared == "timestamp":
        return sent == "date"
    room, needed = _digits(declared), _digits(sent)
    return (
        _DECIMAL.fullmatch(declared) is not None
        and room is not None
        and needed is not None
        and all(there >= asked for there, asked in zip(room, needed, strict=True))
    )


def _digits(type_: str) -> tuple[int, int] | None:
    """Digits before and after the point; None of what is not exact."""
    if type_ in _WHOLE_DIGITS:
        return _WHOLE_DIGITS[type_], 0
    found = _DECIMAL.fullmatch(type_)
    return (int(found[1]) - int(found[2]), int(found[2])) if found else None


def _evolution(stream: Stream, found: list[_Found]) -> Evolution:
    """The versions of one thing in the order in which they were registered, else in that of their use."""
    schemas = [schema for _, schema, _ in found if schema]
    if len(schemas) == len(found) and all(each.version for each in schemas):
        found = sorted(found, key=lambda each: each[1].version if each[1] else 0)
    elif all(use.name.isdigit() for use, _, _ in found):
        found = sorted(found, key=lambda each: int(each[0].name))
    types = [each for _, _, each in found]
    latest = max(use.last_at for use, _, _ in found)
    versions = tuple(
        Version(
            use.name,
            schema.version if schema else 0,
            use.first_at,
            use.last_at,
            use.last_at >= latest - IN_USE,
            *_changes(types[at - 1] if at else None, types[at]),
        )
        for at, (use, schema, _) in enumerate(found)
    )
    subject = next((each.subject or each.record for each in reversed(schemas)), "")
    return Evolution(subject, versions, tuple(_touched(stream, versions, types)))


def _changes(
    before: Types | None, now: Types | None
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """What is added, gone, and of another type."""
    if before is None or now is None:
        return (), (), ()
    return (
        tuple(f"{write_place(place)} ({now[place]})" for place in now if place not in before),
        tuple(write_place(place) for place in before if place not in now),
        tuple(
            f"{write_place(place)} ({before[place]} → {type_})"
            for place, type_ in now.items()
            if before.get(place, type_) != type_
        ),
    )


def _touched(stream: Stream, versions: Sequence[Version], types: Sequence[Types | None]) -> Iterator[Touched]:
    """The declared fields that the newest version in use does not have as an older one had them."""
    newest = max(at for at, each in enumerate(versions) if each.in_use)
    now = types[newest]
    if now is None or stream.format.options.shows_one_schema:
        return
    inside = inner_place(stream)
    if inside is None:
        return
    for name, field in stream.fields.items():
        steps = field.place.steps if field.place else ()
        if not steps or not isinstance(steps[0], str):
            continue
        within = () if field.place and field.place.encloses else inside
        top, declared = (*within, steps[0]), field.type if len(steps) == 1 else "json"
        before = [
            (at, each[top])
            for at, each in enumerate(types[:newest])
            if each is not None and top in each and each[top] != now.get(top)
        ]
        if not before or is_hidden(top, now):
            continue
        at, type_ = before[-1]
        if top not in now:
            what = f"'{write_place(top)}' is gone"
        elif _is_lost(declared, type_, now[top], is_inside=len(steps) > 1):
            what = f"'{write_place(top)}' is {now[top]} and no longer {type_}"
        else:
            continue
        yield Touched(name, what, versions[at + 1].since, versions[at + 1])


def _is_lost(declared: str, before: str, now: str, *, is_inside: bool) -> bool:
    """Whether a field that could be read may be null once its type has changed."""
    if is_inside:
        return now != "json"
    if holds(declared, now):
        return False
    # Numbers that became wider are read by a rule of the field's own, such as a unit, as they were before.
    return holds(declared, before) or not (_digits(before) and _digits(now) and holds(now, before))


def _topic(stream: Stream) -> str:
    try:
        return stream.source.destination()
    except ConfigError:  # several
        return ""
