"""One header of an event, whatever its source: names in any case, MQTT's user properties among them."""

import json
from collections.abc import Iterator
from typing import Any


def header(headers: str | None, name: str) -> str:
    """The first header of a name, `-` and `_` being the same; empty where there is none.

    Args:
        headers: A JSON object, as log/envelope.py has it, or None.
        name: Small letters, with `-`.
    """
    if not headers:
        return ""
    try:
        document = json.loads(headers)
    except ValueError:
        return ""
    return next((value for key, value in _pairs(document) if key.lower().replace("_", "-") == name), "")


def _pairs(document: Any) -> Iterator[tuple[str, str]]:
    pairs = list(document.items()) if isinstance(document, dict) else []
    properties = document.get("user_properties") if isinstance(document, dict) else None
    for pair in [*pairs, *(properties if isinstance(properties, list) else [])]:
        if len(pair) == 2 and isinstance(pair[0], str):
            value = pair[1][0] if isinstance(pair[1], list) and pair[1] else pair[1]
            if isinstance(value, str):
                yield pair[0], value
