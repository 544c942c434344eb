"""Sampled payloads → the fields that a stream could declare, each with its reason. Nothing is written here.

What the payloads hold is sample.py's; which field is the event's time or identity is roles.py's.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import duckdb

from ingestion.declare.fields import NAME_CHARACTERS, STAGING_COLUMNS, FieldSpec
from ingestion.declare.times import Unit
from orchestration.scaffold.sample import Leaf, leaves_of

_PREFIX = "payload_"
_TIMES = re.compile(r"(^|_)(at|ts|time|timestamp|date|datetime|epoch|when|utc|created|updated|modified)($|_)")
_IDENTIFIERS = re.compile(r"(^|_)(id|ids|uuid|guid|key|code|no|nr|number|zip|postcode|phone|sku|ean|isbn)$")
_SINCE_1970 = {"seconds": 1.0, "milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}
_UNITS: dict[str, Unit] = {"seconds": "s", "milliseconds": "ms", "microseconds": "us", "nanoseconds": "ns"}
_YEAR_2000, _YEAR_2100 = 946_684_800, 4_102_444_800
_WHOLE = re.compile(r"[+-]?(0|[1-9]\d*)")
_NUMBER = re.compile(r"[+-]?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
_FIXED = re.compile(r"[+-]?\d{1,19}\.\d{1,18}")
"""Digits that somebody counted, as of an amount: a double would keep the number and not the intention."""
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d.*")
_ZONE = re.compile(r".*(Z|[+-]\d\d(:?\d\d)?)")


@dataclass(frozen=True)
class Proposed:
    """A field that the sample suggests.

    Attributes:
        name: As it would be declared.
        type: Of streams.yml.
        path: Keys with dots between them.
        reason: What was seen, as in "text in 200 of 200".
        texts: Its values, per message; None where there is none.
        origin: Where it is, if not in the payload, as streams.yml says it.
        unit: Of numbers since 1970; None for all else.
    """

    name: str
    type: str
    path: str
    reason: str
    texts: tuple[str | None, ...] = ()
    origin: Mapping[str, object] = field(default_factory=dict)
    unit: Unit | None = None

    def spec(self) -> FieldSpec:
        """As it is declared."""
        where = dict(self.origin) or {"path": self.path}
        return FieldSpec.model_validate({"type": self.type, "unit": self.unit} | where)


def propose_fields(
    payloads: Sequence[str], *, enclosing: Sequence[str] = (), taken: Collection[str] = ()
) -> tuple[list[Proposed], list[str]]:
    """The fields of some events.

    Args:
        payloads: JSON texts; of elements of an array, where that is unnested.
        enclosing: What encloses each element, without the array.
        taken: Further columns of staging.

    Returns:
        The fields, and sentences about what was renamed or left out.
    """
    leaves, notes = leaves_of(payloads)
    outer, more = leaves_of(enclosing) if enclosing else ([], [])
    notes += more
    reserved = _reserved_words()
    fields: dict[str, Proposed] = {}
    for leaf in (*leaves, *outer):
        plain = column_name(leaf.path)
        name = plain
        if plain in STAGING_COLUMNS or plain in taken:
            name = _PREFIX + plain
            notes.append(f"'{leaf.dotted}' is named {name}: staging has a column {plain} of its own")
        elif plain in reserved:
            name = _PREFIX + plain
            notes.append(f"'{leaf.dotted}' is named {name}: {plain} is a word of SQL")
        elif leaf.path and plain != leaf.path[-1] and len(leaf.path) == 1:
            notes.append(f"'{leaf.dotted}' is named {name}: names are lower_snake_case")
        at = 2
        while name in fields:
            name, at = f"{plain}_{at}", at + 1
        kind, reason = _type_of(plain, leaf)
        path = f"^.{leaf.dotted}" if any(leaf is each for each in outer) else leaf.dotted
        unit = _UNITS.get(_since_1970(plain, leaf)) if kind == "timestamp" else None
        fields[name] = Proposed(name, kind, path, f"{reason} of {len(payloads)}", leaf.texts, unit=unit)
    return list(fields.values()), notes


def column_name(path: Sequence[str]) -> str:
    """lower_snake_case of a path; `value` for the whole payload."""
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", "_".join(path) or "value")
    name = re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")
    if not name[:1].isalpha():
        name = f"{_PREFIX}{name}".rstrip("_")
    return name[: NAME_CHARACTERS - 4].rstrip("_")


def _type_of(name: str, leaf: Leaf) -> tuple[str, str]:
    """A type that holds every value of a path, and what was seen."""
    count, kinds = leaf.present, set(leaf.kinds)
    if kinds & {"object", "array"}:
        what = "object with keys of its own" if leaf.is_map else " and ".join(sorted(kinds))
        return "json", f"{what} in {count}"
    if kinds == {"boolean"}:
        return "boolean", f"true or false in {count}"
    if kinds <= {"whole", "number"}:
        return _number_type(name, leaf)
    if kinds == {"text"}:
        return _text_type(name, leaf)
    mixed = ", ".join(f"{kind} in {seen}" for kind, seen in leaf.kinds.most_common())
    return "varchar", f"mixed, {mixed}"


def _number_type(name: str, leaf: Leaf) -> tuple[str, str]:
    count = leaf.present
    if unit := _since_1970(name, leaf):
        return "timestamp", f"{unit} since 1970 in {count}"
    if set(leaf.kinds) == {"whole"}:
        if leaf.readable["bigint"] == count:
            return "bigint", f"whole number in {count}"
        if leaf.readable["decimal(38,0)"] == count:
            return "decimal(38,0)", f"whole number, some beyond bigint, in {count}"
        return "varchar", f"whole number of more than 38 digits in {count}"
    return "double", f"number in {count}"


def _text_type(name: str, leaf: Leaf) -> tuple[str, str]:
    count = leaf.present

    def all_are(pattern: re.Pattern[str], kind: str) -> bool:
        return leaf.readable[kind] == count and all(pattern.fullmatch(text) for text in _there(leaf))

    if all_are(_DATE, "date"):
        return "date", f"date in {count}"
    if all_are(_TIME, "timestamp"):
        zone = "" if all(_ZONE.fullmatch(text) for text in _there(leaf)) else " without a zone, read as UTC,"
        return "timestamp", f"ISO 8601 time{zone} in {count}"
    if all_are(_NUMBER, "double"):
        if unit := _since_1970(name, leaf):
            return "timestamp", f"{unit} since 1970, as text, in {count}"
        if _IDENTIFIERS.search(name):
            return "varchar", f"digits that name something, kept as text, in {count}"
        if all_are(_WHOLE, "bigint"):
            return "bigint", f"whole number as text in {count}"
        digits = {len(text.partition(".")[2]) for text in _there(leaf)}
        if count > 1 and len(digits) == 1 and all_are(_FIXED, "double"):
            (scale,) = digits
            return f"decimal(38,{scale})", f"number as text, {scale} digits after the point, in {count}"
        return "double", f"number as text in {count}"
    if leaf.readable["boolean"] == count and {text.lower() for text in _there(leaf)} <= {"true", "false"}:
        return "boolean", f"true or false as text in {count}"
    return "varchar", f"text in {count}"


def _since_1970(name: str, leaf: Leaf) -> str:
    """The unit of numbers that are times; empty where they are not. The macro decides by size, too."""
    if not set(leaf.kinds) <= {"whole", "number", "text"} or not all(map(_NUMBER.fullmatch, _there(leaf))):
        return ""
    if not _TIMES.search(name) or leaf.readable["timestamp"] != leaf.present:
        return ""
    numbers = [float(text) for text in _there(leaf)]
    for unit, scale in _SINCE_1970.items():
        if all(_YEAR_2000 <= number / scale <= _YEAR_2100 for number in numbers):
            return unit
    return ""


def _there(leaf: Leaf) -> list[str]:
    return [text for text in leaf.texts if text is not None]


def _reserved_words() -> frozenset[str]:
    """Words that SQL keeps for itself: a column of such a name has to be quoted in every model."""
    sql = "select keyword_name from duckdb_keywords() where keyword_category = 'reserved'"
    with duckdb.connect(":memory:") as connection:
        return frozenset(word for (word,) in connection.execute(sql).fetchall())
