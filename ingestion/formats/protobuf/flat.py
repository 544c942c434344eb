"""Messages of single numbers, texts, bytes and enums: their fields are fetched together, by one call.

It says of them what `_Saying` in format.py says of any message; tests/formats/test_protobuf_flat.py compares.
"""

from collections.abc import Callable
from functools import lru_cache
from operator import attrgetter
from typing import Any

from ingestion.formats.canonical import base64_text, number

_GOOGLES = "google.protobuf."
Say = Callable[[Any], dict[str, Any]]


@lru_cache(maxsize=64)
def flat(described: Any) -> Say | None:
    """What says a message of a type as a dict; None where the type is not flat.

    Args:
        described: Its descriptor.
    """
    fields = described.fields
    if not fields or described.is_extendable or any(map(_is_more, fields)):
        return None
    if described.full_name.startswith(_GOOGLES):  # a Timestamp's JSON is a text
        return None
    names = [field.name for field in fields]
    fetch = attrgetter(*names)
    optional = [field.name for field in fields if field.has_presence]
    functions = [(field.name, function) for field in fields if (function := _function(field)) is not None]
    is_single = len(names) == 1

    def say(message: Any) -> dict[str, Any]:
        values = fetch(message)
        found = dict(zip(names, (values,) if is_single else values, strict=True))
        for name in optional:
            if not message.HasField(name):
                del found[name]
        for name, function in functions:
            if name in found:
                found[name] = function(found[name])
        return found

    return say


def _is_more(field: Any) -> bool:
    """Whether a field is more than one value, or has to be there."""
    return field.is_repeated or field.is_required or field.message_type is not None


def _function(field: Any) -> Callable[[Any], Any] | None:
    if field.enum_type is not None:
        names = {value: each.name for value, each in field.enum_type.values_by_number.items()}
        return lambda value: names.get(value, value)
    if field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        return number
    return base64_text if field.type == field.TYPE_BYTES else None
