"""A typed field of a stream: its name, its type, and where its value is.

What each type shows: docs/values.md. Fields that are not in the payload: origins.py.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, WithJsonSchema, model_validator

from ingestion.declare.origins import Origin, check_origin
from ingestion.declare.paths import PATH_PATTERN, Place, parse_path
from ingestion.declare.times import TIME_TYPES, Unit, check_zone, format_schema, pattern_of

STAGING_COLUMNS = frozenset(
    {
        "batch_id",
        "source_partition",
        "position",
        "event_id",
        "event_key",
        "event_at",
        "clock_ahead_seconds",
        "ingested_at",
        "payload_hash",
        "cast_errors",
    }
)
"""Columns of every staging model. A payload field with one of these names must be renamed; `path` keeps
pointing at it."""
NAME_CHARACTERS = 60
_NAME = re.compile(r"[a-z](?:_?[a-z0-9])*")
_EXAMPLES = (
    "varchar", "bigint", "integer", "double", "boolean", "timestamp", "date", "json", "decimal(10,2)",
)  # fmt: skip
_TYPE = re.compile(
    r"varchar|bigint|integer|double|boolean|timestamp|date|json|decimal\((?:[1-9]|[12]\d|3[0-8]), ?\d{1,2}\)"
)


def name_schema(*, without: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The JSON Schema of a stream's or a field's name, less those that are taken."""
    schema: dict[str, Any] = {"type": "string", "pattern": f"^{_NAME.pattern}$", "maxLength": NAME_CHARACTERS}
    return schema | ({"not": {"enum": sorted(without)}} if without else {})


def type_schema() -> dict[str, Any]:
    """The JSON Schema of a field's type."""
    return {"type": "string", "pattern": f"^({_TYPE.pattern})$", "examples": list(_EXAMPLES)}


def _identifier(value: str) -> str:
    if not _NAME.fullmatch(value) or len(value) > NAME_CHARACTERS:
        raise ValueError(
            f"'{value}' must be lower_snake_case (a letter, letters, digits, single underscores), at most "
            f"{NAME_CHARACTERS}"
        )
    return value


def _field_type(value: str) -> str:
    if not _TYPE.fullmatch(value):
        raise ValueError(
            f"'{value}' is not a type; use varchar, bigint, integer, double, boolean, timestamp, date, json"
            " or decimal(p,s)"
        )
    return value


def _checked_path(value: str) -> str:
    parse_path(value)
    return value


def _time_format(value: str) -> str:
    pattern_of(value)
    return value


PATH_SCHEMA: dict[str, Any] = {
    "type": "string",
    "pattern": PATH_PATTERN,
    "description": 'Keys with dots between them, readings[0] for an element, ["a.b"] for any other key; a '
    "dot alone is the whole payload; ^.key is in what encloses an element.",
}
Name = Annotated[str, AfterValidator(_identifier), WithJsonSchema(name_schema())]


class FieldSpec(Origin):
    """A typed field: its SQL type, and the path to it in the payload or where else it is.

    Attributes:
        path: In the payload; empty where the field is not from there.
        key: true is the whole key; else a path in it, of a key that is JSON.
        topic: true is the whole topic; else a level of it, 1 the first and -1 the last.
        header: Of a message's header or user property.
        broker_time: true is the broker's time stamp.
        extension: Of a CloudEvent, the name of an extension attribute.
        unit: Of numbers since 1970, for a timestamp or date; without it they count within 1990 to 2100.
        format: Of the text of a timestamp or date, as in %Y%m%d; nothing else counts then.
        zone: Of a time without an offset (else UTC), and the zone whose day a date is.
        encoding: base64, of a number whose bytes are sent without its scale, which is the type's.
        description: What it means, for the comment on its column.
    """

    type: Annotated[str, AfterValidator(_field_type), WithJsonSchema(type_schema())]
    path: Annotated[str, AfterValidator(_checked_path), WithJsonSchema(PATH_SCHEMA)] = ""
    unit: Unit | None = None
    format: Annotated[str, AfterValidator(_time_format), WithJsonSchema(format_schema())] | None = None
    zone: Annotated[str, AfterValidator(check_zone)] | None = None
    encoding: Literal["base64"] | None = None
    description: str = ""

    @property
    def place(self) -> Place | None:
        """Its path in the payload, taken apart; None where it is not from there."""
        return parse_path(self.path) if self.path else None

    @model_validator(mode="after")
    def _is_a_time(self) -> "FieldSpec":
        said = [name for name in ("unit", "format", "zone") if getattr(self, name) is not None]
        if said and self.type not in TIME_TYPES:
            raise ValueError(f"'{said[0]}' is for timestamp and date fields, not for {self.type}")
        if self.unit and self.format:
            raise ValueError("'unit' is for numbers since 1970 and 'format' for text; remove one of them")
        if self.encoding and not (self.path and self.type.startswith(("decimal", "bigint", "integer"))):
            raise ValueError(f"'encoding' is for the bytes of decimal and bigint fields, not for {self.type}")
        if bool(self.path) == bool(self.origins()):
            raise ValueError(
                "a field has a 'path' in the payload, or key, topic, header, broker_time or extension"
            )
        check_origin(self, self.type)
        return self
