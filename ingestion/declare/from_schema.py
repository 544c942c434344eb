"""The fields of a stream that declares none, where its format's schema does.

Names are made from the schema's as `millrace add` makes them; `path` keeps pointing at the schema's name.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any

from pydantic import ValidationError, ValidationInfo
from pydantic_core import PydanticCustomError, PydanticKnownError

from ingestion.formats.port import FOLDER
from ingestion.formats.registry import FormatChoice, choose_format

_NAME_CHARACTERS = 60
_WORD_BEGINS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def read_format(value: Any, info: ValidationInfo) -> FormatChoice:
    """What `format:` says; the paths in it go from the folder of the validation's context."""
    return choose_format(value, folder_of(info))


def folder_of(info: ValidationInfo) -> str:
    """The folder of a validation's context; empty where it has none."""
    return str((info.context or {}).get(FOLDER, ""))


def fields_of(declared: Any, *, folder: str, taken: Collection[str]) -> dict[str, Mapping[str, str]]:
    """Name → type and path of each field that the schema of a format declares.

    Args:
        declared: What `format:` says. With a mistake in it, which is reported elsewhere, it has no fields.
        folder: From which its paths go.
        taken: Names that a field may not have.
    """
    try:
        found = choose_format(declared, folder).options.fields()
    except (ValidationError, PydanticCustomError, PydanticKnownError, ValueError):
        return {}
    fields: dict[str, Mapping[str, str]] = {}
    for field in found:
        name = _name(field.path)
        if name in taken:
            name = f"payload_{name}"
        if name and name not in fields:
            fields[name] = {"type": field.type, "path": field.path}
    return fields


def _name(path: str) -> str:
    """A name of staging for a schema's: orderId is order_id."""
    words = re.sub("[^a-z0-9]+", "_", _WORD_BEGINS.sub("_", path).lower()).strip("_")
    return (words if words[:1].isalpha() else f"field_{words}")[:_NAME_CHARACTERS].rstrip("_")
