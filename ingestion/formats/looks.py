"""What received bytes look like, in a few words, for people who look at a source."""

import orjson

from ingestion.formats.text import marked_encoding
from ingestion.formats.unpack import packed_as


def form_of(value: bytes | None) -> str:
    """What stands round the text: gzip, UTF-16, a NUL; empty for plain bytes."""
    if not value:
        return ""
    packed = packed_as(value)
    if packed:
        return packed
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
