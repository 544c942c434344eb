"""What received bytes look like, in a few words, for people who look at a source."""

import orjson

from ingestion.formats.port import reads_text
from ingestion.formats.registry import find_format
from ingestion.formats.text import marked_encoding
from ingestion.formats.unpack import packed_as


def form_of(value: bytes | None, format_name: str) -> str:
    """What stands round what a format reads: gzip; of text UTF-16 or a NUL, too; empty for plain bytes.

    Args:
        value: As received.
        format_name: The format that reads it: in other bytes than text a mark or a NUL is a part of a value.
    """
    if not value:
        return ""
    packed = packed_as(value)
    if packed:
        return packed
    if not reads_text(find_format(format_name)):
        return ""
    encoding = marked_encoding(value)
    if encoding:
        return f"{encoding.upper()} with a byte order mark"
    return "a NUL at its end" if value.endswith(b"\0") else ""


def is_bare_text(value: bytes | None) -> bool:
    """Whether it is text that does not even begin like JSON: a last will, say."""
    if not value or value.lstrip()[:1] in (b"{", b"[", b'"', b""):
        return False
    try:
        return value.decode("utf-8").isprintable() or b"\n" in value
    except UnicodeDecodeError:
        return False


def count_lines(value: bytes | None) -> int:
    """How many lines of JSON it is; 0 where it is not lines of JSON."""
    lines = [line for line in (value or b"").splitlines() if line.strip()]
    try:
        for line in lines:
            orjson.loads(line)
    except orjson.JSONDecodeError:
        return 0
    return len(lines)
