"""Who answers for a stream, and the words one finds it by: as Dagster and dbt take them."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from ingestion.connectors.spec import as_tuple

_ADDRESS = r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,7}"  # no other reaches Dagster's page
_OWNER = re.compile(rf"{_ADDRESS}|team:\S(?:.*\S)?")
_TAG = re.compile(r"[A-Za-z0-9_.-]{1,63}")


def _owners(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if not _OWNER.fullmatch(value):
            raise ValueError(f"'{value}' is not an owner; write an address, or a team as in team:plant")
    return values


def _tags(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if not _TAG.fullmatch(value):
            raise ValueError(
                f"'{value}' is not a tag; write letters, digits, '_', '-' and '.', at most 63 of them"
            )
    return values


def _schema(pattern: str, *examples: str) -> dict[str, Any]:
    word: dict[str, Any] = {"type": "string", "pattern": f"^({pattern})$", "examples": list(examples)}
    return {"anyOf": [word, {"type": "array", "items": word}]}


Owners = Annotated[
    tuple[str, ...],
    BeforeValidator(as_tuple),
    AfterValidator(_owners),
    WithJsonSchema(_schema(_OWNER.pattern.replace("(?:", "("), "team:plant", "ada@example.org")),
]
"""Addresses and teams, or one written without a list."""

Tags = Annotated[
    tuple[str, ...], BeforeValidator(as_tuple), AfterValidator(_tags), WithJsonSchema(_schema(_TAG.pattern))
]
"""Words, or one written without a list."""
