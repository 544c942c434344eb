"""Where a field comes from, if not from the payload: key, topic, header, broker's time, extension attribute.

What each shows: docs/values.md. The SQL of it: orchestration/dbt/package/macros/origins.sql.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, StrictBool, StrictInt, StrictStr, WithJsonSchema

from ingestion.declare.paths import Place, parse_path
from ingestion.declare.times import TIME_TYPES

ORIGINS = ("key", "topic", "header", "broker_time", "extension")
DEFAULT_TYPES = dict.fromkeys(ORIGINS, "varchar") | {"broker_time": "timestamp"}
_EXTENSION = "[a-z0-9]+"
_FORBIDDEN = set("\"'\\{}")


def _key(value: bool | str) -> bool | str:
    if value is True:
        return value
    advice = "write 'key: true' for the whole key, or the path of a part of it"
    try:
        place = parse_path(str(value)) if value else Place(())
    except ValueError as error:
        raise ValueError(f"{advice}: {error}") from None
    if not place.steps or place.encloses:
        raise ValueError(advice)
    return value


def _topic(value: bool | int) -> bool | int:
    if value is False or (value is not True and value == 0):
        raise ValueError("write 'topic: true' for the whole topic, or a level: 1 is the first, -1 the last")
    return value


def _header(value: str) -> str:
    if not value or set(value) & _FORBIDDEN:
        raise ValueError(f"'{value}' is not a header's name; it has neither quotes, braces nor a backslash")
    return value


def _extension(value: str) -> str:
    if not re.fullmatch(_EXTENSION, value):
        raise ValueError(
            f"'{value}' is not an extension attribute's name: it has lower-case letters and digits"
        )
    return value


class Origin(BaseModel):
    """Where a field comes from that is not in the payload; at most one of these.

    Attributes:
        key: true is the whole key; else a path in it, of a key that is JSON.
        topic: true is the whole topic; else a level of it, 1 the first and -1 the last.
        header: Of a message's header or user property.
        broker_time: true is the broker's time stamp.
        extension: Of a CloudEvent, the name of an extension attribute, as in traceparent.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: (
        Annotated[
            StrictBool | StrictStr,
            AfterValidator(_key),
            WithJsonSchema({"anyOf": [{"const": True}, {"type": "string", "minLength": 1}]}),
        ]
        | None
    ) = None
    topic: (
        Annotated[
            StrictBool | StrictInt,
            AfterValidator(_topic),
            WithJsonSchema({"anyOf": [{"const": True}, {"type": "integer", "not": {"const": 0}}]}),
        ]
        | None
    ) = None
    header: Annotated[str, AfterValidator(_header)] | None = None
    broker_time: Literal[True] | None = None
    extension: (
        Annotated[
            str, AfterValidator(_extension), WithJsonSchema({"type": "string", "pattern": f"^{_EXTENSION}$"})
        ]
        | None
    ) = None

    def origins(self) -> list[str]:
        """Those that are said."""
        return [name for name in ORIGINS if getattr(self, name) is not None]


def check_origin(said: Origin, type_name: str) -> None:
    """Check that a field has one place, and a type that can be had from there.

    Raises:
        ValueError: It has several, or the broker's time is not to be a time.
    """
    if len(said.origins()) > 1:
        both = " and ".join(said.origins())
        raise ValueError(f"a field has one place, and this one names {both}: remove one")
    if said.broker_time and type_name not in TIME_TYPES:
        raise ValueError(f"the broker's time is a timestamp or a date, not {type_name}")


def completed(name: str, said: Mapping[str, Any]) -> dict[str, Any]:
    """A field with what it need not say: its path is its name, and what is not of the payload has a type."""
    if not any(origin in said for origin in ORIGINS):
        return {"path": name} | dict(said)
    (first, *_) = (origin for origin in ORIGINS if origin in said)
    return {"type": DEFAULT_TYPES[first]} | dict(said)
