"""Bytes that a sender or a broker compressed: which way, and what they unpack to within a bound.

Every format gets this from decode.py. What the unpacked bytes mean is the format's work.
"""

import re
import zlib

import pyarrow as pa

from ingestion.formats.headers import header
from ingestion.formats.port import Refusal

NOT_UNPACKED = "not_unpacked"
UNPACKS_TOO_LARGE = "unpacks_too_large"
REASONS = frozenset({NOT_UNPACKED, UNPACKS_TOO_LARGE})

ENCODING_HEADER = "content-encoding"
HEADER_PATTERN = "content.?encoding"
"""Headers that may name it, as a regular expression."""
HEADER_PART = b"ncoding"
"""Bytes that such headers hold."""
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_NAMES = {"gzip": "gzip", "x-gzip": "gzip", "zstd": "zstd", "deflate": "deflate"}
_PLAIN = {"", "identity"}
_LAYERS = 3
_STEP_BYTES = 1 << 16


def packed_as(value: bytes) -> str:
    """gzip or zstd, as the first bytes say; empty where they say neither."""
    return next((name for magic, name in _MAGIC.items() if value.startswith(magic)), "")


def unpack(value: bytes, headers: str | None, *, max_bytes: int) -> bytes | Refusal | None:
    """Undo the compression of a value, as its first bytes or the header content-encoding say.

    Args:
        value: As received.
        headers: A JSON object, or None.
        max_bytes: More than so many bytes are refused, without unpacking the rest.

    Returns:
        The bytes within; None where nothing says that they are compressed.
    """
    said = [word.strip().lower() for word in re.split("[ ,]+", header(headers, ENCODING_HEADER))]
    unpacked: bytes | None = None
    for layer in range(_LAYERS):
        whole = value if unpacked is None else unpacked
        coding = packed_as(whole)
        if not coding and layer == 0 and "deflate" in said:
            coding = "deflate"
        if not coding:
            break
        try:
            unpacked = inflate(whole, coding, max_bytes)
        except (zlib.error, OSError, EOFError) as error:
            return Refusal(NOT_UNPACKED, f"{coding} that does not unpack: {error}")
        if len(unpacked) > max_bytes:
            return Refusal(UNPACKS_TOO_LARGE, f"{coding} of more than {max_bytes} bytes, which is the limit")
    unknown = [word for word in said if word not in _NAMES and word not in _PLAIN]
    if unpacked is None and unknown:
        known = ", ".join(sorted(set(_NAMES.values())))
        return Refusal(NOT_UNPACKED, f"{ENCODING_HEADER} says '{unknown[0]}', known are {known}")
    return unpacked


def inflate(value: bytes, coding: str, max_bytes: int) -> bytes:
    """At most one byte more than `max_bytes`."""
    if coding == "zstd":
        with pa.CompressedInputStream(pa.BufferReader(value), "zstd") as stream:
            found = bytearray()
            while len(found) <= max_bytes and (part := stream.read(min(_STEP_BYTES, max_bytes + 1))):
                found += part
            return bytes(found[: max_bytes + 1])
    return _zlib(value, max_bytes, wbits=31 if coding == "gzip" else 15)


def _zlib(value: bytes, max_bytes: int, *, wbits: int) -> bytes:
    found, rest = bytearray(), value
    while rest and len(found) <= max_bytes:
        if found and not rest.startswith(b"\x1f\x8b"):
            if rest.strip(b"\0"):
                raise zlib.error(f"{len(rest)} other bytes follow")
            break  # padding
        inflater = zlib.decompressobj(wbits)
        found += inflater.decompress(rest, max_bytes + 1 - len(found))
        if not inflater.eof:
            if len(found) <= max_bytes:
                raise EOFError("it ends too early")
            break
        rest = inflater.unused_data
    return bytes(found)
