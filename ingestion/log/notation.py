"""Keys and headers are bytes, raw has texts: one notation, in which no two values look alike.

Printable UTF-8 is its own text. Everything else (bytes that are not UTF-8, or with control characters other
than tab and line ends), and text that itself begins with \\x, is \\x and two hexadecimal digits a byte.
"""

import re

import pyarrow as pa
import pyarrow.compute as pc

_NOT_PLAIN = r"^\\x|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
_is_not_plain = re.compile(_NOT_PLAIN).search
_is_digits = re.compile(r"\\x(?:[0-9a-f]{2})*").fullmatch


def bytes_as_text(value: bytes) -> str:
    """Bytes in the notation."""
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return "\\x" + value.hex()
    return "\\x" + value.hex() if _is_not_plain(text) else text


def text_as_bytes(text: str) -> bytes:
    """The bytes that a text stands for."""
    return bytes.fromhex(text[2:]) if _is_digits(text) else text.encode()


def column_as_text(values: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    """A column of bytes in the notation; null stays null."""
    try:
        texts = values.cast(pa.string())
        if not pc.any(pc.match_substring_regex(texts, _NOT_PLAIN)).as_py():
            return texts
    except pa.ArrowInvalid:
        pass  # some are not UTF-8
    return pa.array(
        [None if each is None else bytes_as_text(each) for each in values.to_pylist()], pa.string()
    )
