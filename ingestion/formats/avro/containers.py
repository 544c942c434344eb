"""Object container files: the schema within, and the bytes of each block, unpacked within a bound.

Format: Avro specification 1.12, "Object Container Files".
"""

import bz2
import lzma
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from ingestion.formats.unpack import inflate

MAGIC = b"Obj\x01"
_SYNC = 16
_CODECS = ("null", "deflate", "snappy", "zstandard", "bzip2", "xz")


class NotAContainer(ValueError):
    """The bytes are not a container, or a damaged one."""


class UnpacksTooLarge(Exception):
    """What is within is larger than a value may be."""


@dataclass(frozen=True)
class Container:
    """A container that was opened.

    Attributes:
        schema: The text of its writer's schema.
        blocks: How many values, and their bytes.
    """

    schema: str
    blocks: Iterator[tuple[int, bytes]]


class _Bytes:
    """Reads forward through some bytes."""

    def __init__(self, value: bytes) -> None:
        self._value, self._at = value, 0

    @property
    def is_at_end(self) -> bool:
        return self._at == len(self._value)

    def take(self, count: int) -> bytes:
        if not 0 <= count <= len(self._value) - self._at:
            raise NotAContainer(f"{count} bytes are said to follow at {self._at} of {len(self._value)}")
        self._at += count
        return self._value[self._at - count : self._at]

    def long(self) -> int:
        found = shift = 0
        while shift < 64:
            (byte,) = self.take(1)
            found |= (byte & 0x7F) << shift
            if byte < 0x80:
                return (found >> 1) ^ -(found & 1)
            shift += 7
        raise NotAContainer(f"a number at {self._at} has more than 64 bits")


def open_container(value: bytes, *, max_bytes: int) -> Container:
    """Read a container's header.

    Args:
        value: Begins with MAGIC.
        max_bytes: What all blocks together may unpack to.

    Raises:
        NotAContainer: Says what is wrong; reading its blocks may raise it, too.
        UnpacksTooLarge: Only reading blocks raises it.
    """
    reading = _Bytes(value)
    reading.take(len(MAGIC))
    named: dict[bytes, bytes] = {}
    while (count := reading.long()) != 0:
        if count < 0:
            reading.long()  # the bytes of these pairs
        for _ in range(abs(count)):
            name = reading.take(reading.long())
            named[name] = reading.take(reading.long())
    sync = reading.take(_SYNC)
    try:
        codec = named.get(b"avro.codec", b"null").decode()
        schema = named[b"avro.schema"].decode()
    except (KeyError, UnicodeDecodeError):
        raise NotAContainer("its header has no schema") from None
    if codec not in _CODECS:
        raise NotAContainer(f"its codec is '{codec}', known are {', '.join(_CODECS)}")
    return Container(schema, _blocks(reading, sync, codec, max_bytes))


def _blocks(reading: _Bytes, sync: bytes, codec: str, left: int) -> Iterator[tuple[int, bytes]]:
    while not reading.is_at_end:
        count = reading.long()
        packed = reading.take(reading.long())
        if reading.take(_SYNC) != sync:
            raise NotAContainer("a block does not end with the sync marker")
        try:
            block = _unpacked(packed, codec, left)
        except (zlib.error, OSError, EOFError, lzma.LZMAError, ValueError) as error:
            raise NotAContainer(f"a {codec} block does not unpack: {error}") from None
        if len(block) > left:
            raise UnpacksTooLarge("a container that unpacks to more than a value may have")
        left -= len(block)
        yield count, block


def _unpacked(packed: bytes, codec: str, left: int) -> bytes:
    """A block's bytes; at most one more than `left`."""
    if codec == "null":
        return packed
    if codec == "deflate":
        return zlib.decompressobj(-15).decompress(packed, left + 1)
    if codec == "zstandard":
        return inflate(packed, "zstd", left)
    if codec == "snappy":
        return _snappy(packed, left)
    if codec == "bzip2":
        return bz2.BZ2Decompressor().decompress(packed, left + 1)
    return lzma.LZMADecompressor().decompress(packed, left + 1)


def _snappy(packed: bytes, left: int) -> bytes:
    """A snappy block, after which the checksum of what is within follows."""
    size = shift = 0
    for byte in packed[:5]:
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    if size > left:
        raise UnpacksTooLarge(f"a snappy block of {size} bytes, which is more than a value may have")
    block: bytes = pa.decompress(packed[:-4], decompressed_size=size, codec="snappy", asbytes=True)
    if zlib.crc32(block).to_bytes(4, "big") != packed[-4:]:
        raise ValueError("its checksum is another")
    return block
