"""Received bytes as UTF-8 text: byte order marks, declared encodings, and NULs after a text's end.

For formats that are text. A format looks here only at what it cannot read as it came.
"""

import codecs
import re
from typing import Literal, get_args

from ingestion.formats.headers import header
from ingestion.formats.port import Refusal

Encoding = Literal["utf-8", "utf-16", "utf-16le", "utf-16be", "utf-32", "iso-8859-1", "windows-1252"]
ENCODINGS: tuple[str, ...] = get_args(Encoding)

NOT_UTF8 = "not_utf8"
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",  # begins with the mark of UTF-16
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_BIG = {"utf-16": "utf-16-be", "utf-32": "utf-32-be"}
"""Without a mark these are big-endian (RFC 2781)."""


def as_utf8(value: bytes, headers: str | None = None, declared: str | None = None) -> bytes | Refusal:
    """A text's bytes in UTF-8, without a byte order mark and without NULs at its end.

    Args:
        value: As received.
        headers: A JSON object; the charset of its content-type counts where none is declared.
        declared: The encoding that the stream declares. A byte order mark counts more.

    Returns:
        The text, or why the bytes are none.
    """
    mark, encoding, by = _encoding(value, headers, declared)
    try:
        text = value[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        return Refusal(NOT_UTF8, f"{by}: {error}" if by else str(error))
    except LookupError:
        return Refusal(NOT_UTF8, f"{by}, which is not an encoding that is known")
    return text.rstrip("\0").encode()


def marked_encoding(value: bytes) -> str:
    """The encoding that a byte order mark says; empty where there is none."""
    return next((encoding for mark, encoding in _MARKS.items() if value.startswith(mark)), "")


def charset_of(headers: str | None) -> str:
    """The charset that the header content-type says; empty where it says none."""
    found = re.search(r"charset\s*=\s*\"?([\w.:-]+)", header(headers, "content-type"), re.IGNORECASE)
    return found[1] if found else ""


def _encoding(value: bytes, headers: str | None, declared: str | None) -> tuple[bytes, str, str]:
    """The byte order mark, the encoding, and what says so."""
    for mark, encoding in _MARKS.items():
        if value.startswith(mark):
            return mark, encoding, f"{encoding} by its byte order mark"
    if declared:
        return b"", _BIG.get(declared, declared), f"{declared} as declared"
    said = charset_of(headers)
    if said:
        return b"", _BIG.get(said.lower(), said), f"{said} by its content-type"
    return b"", "utf-8", ""


def utf16_hint(value: bytes) -> str:
    """What bytes that are not text in UTF-8 may be; empty where nothing suggests it."""
    zeros = [not byte for byte in value[:4]]
    orders = {(False, True, False, True): "utf-16le", (True, False, True, False): "utf-16be"}
    order = orders.get(tuple(zeros))  # type: ignore[arg-type]
    if not order:
        return ""
    return f"; it looks like {order} without a byte order mark, which 'encoding: {order}' would declare"
