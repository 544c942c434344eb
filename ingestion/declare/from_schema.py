"""The fields of a stream that declares none, where its format's schema does.

Names are made from the schema's as `millrace add` makes them; `path` keeps pointing at the schema's name.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any

from pydantic import ValidationError, ValidationInfo
from pydantic_core import PydanticCustomError, PydanticKnownError

from ingestion.errors import FormatUnavailable
from ingestion.formats.port import FOLDER, SETTINGS, Surroundings
from ingestion.formats.registry import FormatChoice, choose_format
from ingestion.settings import Settings

_NAME_CHARACTERS = 60
_WORD_BEGINS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def read_format(value: Any, info: ValidationInfo) -> FormatChoice:
    """What `format:` says; the paths in it go from the folder of the validation's context."""
    return choose_format(value, _folder(info.context))


def _folder(context: Any) -> str:
    return str((context or {}).get(FOLDER, ""))


def fields_of(
    declared: Any, *, context: Any, topic: str, taken: Collection[str]
) -> dict[str, Mapping[str, str]]:
    """Name → type, path and description of each field that the schema of a format declares.

    Args:
        declared: What `format:` says. With a mistake in it, which is reported elsewhere, it has no fields.
        context: Of the validation: the folder from which its paths go, and the settings.
        topic: What the stream reads; empty where that is not one topic.
        taken: Names that a field may not have.

    Raises:
        FormatUnavailable: The schema is elsewhere, and nothing is known of it here.
    """
    settings: Settings | None = (context or {}).get(SETTINGS)
    around = Surroundings(settings.payload_max_bytes if settings else 0, settings, topic=topic)
    try:
        found = choose_format(declared, _folder(context)).options.fields(around)
    except FormatUnavailable as error:
        # Pydantic lets it pass: it is not a mistake in what is declared.
        raise FormatUnavailable(
            f"its fields are those of a schema, and {error}; or declare 'fields'"
        ) from None
    except (ValidationError, PydanticCustomError, PydanticKnownError, ValueError):
        return {}
    fields: dict[str, Mapping[str, str]] = {}
    for field in found:
        name = _name(field.path)
        if name in taken:
            name = f"payload_{name}"
        if name and name not in fields:
            described = {"description": field.doc} if field.doc else {}
            fields[name] = {"type": field.type, "path": field.path, **described}
    return fields


def _name(path: str) -> str:
    """A name of staging for a schema's: orderId is order_id."""
    words = re.sub("[^a-z0-9]+", "_", _WORD_BEGINS.sub("_", path).lower()).strip("_")
    return (words if words[:1].isalpha() else f"field_{words}")[:_NAME_CHARACTERS].rstrip("_")
