"""Values of binary formats as JSON in which nothing is lost: docs/formats.md says how.

Numbers keep all their digits, NaN and the infinities are text, bytes are base64 (RFC 4648, with padding).
Names that are not text become it; where two of them become the same, the value is refused.
"""

import base64
import math
from collections.abc import Callable, Mapping
from typing import Any

import orjson

MOST_LEVELS = 250
"""orjson writes 254."""
_NATIVE = range(-(2**63), 2**64)

Special = Callable[[Any], Any]
"""A value of a type that JSON lacks → one that it has; raises Unsayable."""


class Unsayable(ValueError):
    """A value has no place in JSON; the message says why."""


def canonical(value: Any, special: Special) -> bytes:
    """A decoded value as JSON text.

    Args:
        value: dicts, lists, tuples, texts, bytes, numbers, booleans, None, and what `special` knows.
        special: Asked about every other type.

    Raises:
        Unsayable: It nests too deep, or has two names that are the same as text.
    """
    return orjson.dumps(_of(value, special, MOST_LEVELS))


def number(value: float) -> float | str:
    """A double; JSON has no word for some, which are text."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def base64_text(value: bytes) -> str:
    """Bytes as base64."""
    return base64.b64encode(value).decode("ascii")


def _of(value: Any, special: Special, levels: int) -> Any:
    if value is None or value is True or value is False or type(value) is str:
        return value
    if type(value) is int:
        return value if value in _NATIVE else orjson.Fragment(_digits(value))
    if type(value) is float:
        return number(value)
    if isinstance(value, bytes):
        return base64_text(value)
    if levels == 0:
        raise Unsayable(f"it nests deeper than {MOST_LEVELS} levels")
    if isinstance(value, Mapping):
        found = {_name(key, special): _of(inner, special, levels - 1) for key, inner in value.items()}
        if len(found) < len(value):
            raise Unsayable("two names of a map are the same as text")
        return found
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return [_of(inner, special, levels - 1) for inner in value]
    return _of(special(value), special, levels - 1)


def _name(key: Any, special: Special) -> str:
    if type(key) is str:
        return key
    if key is None or isinstance(key, bool | int | float | bytes):
        said = _of(key, special, 1)
        return said if isinstance(said, str) else orjson.dumps(said).decode()
    raise Unsayable(f"a name of a map is a {type(key).__name__}")


def _digits(value: int) -> bytes:
    """Also of more digits than Python turns into text at once (sys.set_int_max_str_digits)."""
    if abs(value) >= 10**4000:
        raise Unsayable("an integer has more than 4,000 digits")
    return str(value).encode()
