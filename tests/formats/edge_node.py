"""An edge node of Sparkplug B. It writes payloads field by field, from the numbers of the standard."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

INT8, INT32, INT64, UINT32, UINT64, FLOAT, DOUBLE, BOOLEAN, STRING, DATETIME = (
    1,
    3,
    4,
    7,
    8,
    9,
    10,
    11,
    12,
    13,
)
DATASET, BYTES, TEMPLATE = 16, 17, 19
_FIELDS = {
    "int": 10, "long": 11, "float": 12, "double": 13, "boolean": 14, "string": 15, "bytes": 16, "dataset": 17,
    "template": 18,
}  # fmt: skip
"""Where a metric has its value."""


def varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def number(at: int, value: int | None) -> bytes:
    return b"" if value is None else varint(at << 3) + varint(value)


def part(at: int, value: bytes | str | None) -> bytes:
    if value is None:
        return b""
    value = value.encode() if isinstance(value, str) else value
    return varint(at << 3 | 2) + varint(len(value)) + value


def value(kind: str, said: Any, fields: dict[str, int] = _FIELDS) -> bytes:
    at = fields[kind]
    if kind in ("int", "long"):
        return number(at, said & (0xFFFFFFFF if kind == "int" else 0xFFFFFFFFFFFFFFFF))
    if kind == "boolean":
        return number(at, int(said))
    if kind == "float":
        return varint(at << 3 | 5) + struct.pack("<f", said)
    if kind == "double":
        return varint(at << 3 | 1) + struct.pack("<d", said)
    return part(at, said)


def metric(
    name: str | None = None, kind: str = "", said: Any = None, *, alias: int | None = None,
    datatype: int | None = None, at: int | None = None, more: bytes = b"",
) -> bytes:  # fmt: skip
    return (
        part(1, name) + number(2, alias) + number(3, at) + number(4, datatype) + more
        + (value(kind, said) if kind else b"")
    )  # fmt: skip


def payload(*metrics: bytes, seq: int | None = None, at: int | None = None, more: bytes = b"") -> bytes:
    return number(1, at) + b"".join(part(2, each) for each in metrics) + number(3, seq) + more


@dataclass
class EdgeNode:
    """A node with one device that measures; its metrics have aliases, and data has nothing else.

    Attributes:
        aliases: By which a birth numbers its metrics: first of the node's, then of the device's.
        sent: Every message, in order.
    """

    name: str = "edge"
    bd_seq: int = 0
    seq: int = 0
    aliases: tuple[int, int] = (1, 2)
    sent: list[tuple[str, bytes]] = field(default_factory=list)

    def topic(self, kind: str, device: str = "") -> str:
        return f"spBv1.0/plant/{kind}/{self.name}" + (f"/{device}" if device else "")

    def birth(self) -> Iterator[tuple[str, bytes]]:
        """Its own birth and its device's."""
        self.seq = 0
        node = metric("Load", "int", -7, alias=self.aliases[0], datatype=INT8)
        session = metric("bdSeq", "long", self.bd_seq, datatype=INT64)
        yield self._message("NBIRTH", session, node)
        yield self._message("DBIRTH", metric("Temp", "float", 20.5, alias=self.aliases[1], datatype=FLOAT))

    def data(self, said: int) -> tuple[str, bytes]:
        """A number of the node's own."""
        return self._message("NDATA", metric(None, "int", said, alias=self.aliases[0]))

    def measured(self, said: float) -> tuple[str, bytes]:
        """What its device measured."""
        return self._message("DDATA", metric(None, "float", said, alias=self.aliases[1]))

    def death(self) -> tuple[str, bytes]:
        """Its last will."""
        will = payload(metric("bdSeq", "long", self.bd_seq, datatype=INT64))
        self.sent.append((self.topic("NDEATH"), will))
        return self.sent[-1]

    def _message(self, kind: str, *metrics: bytes) -> tuple[str, bytes]:
        message = payload(*metrics, seq=self.seq, at=1_700_000_000_000 + self.seq)
        self.seq = (self.seq + 1) % 256
        self.sent.append((self.topic(kind, "pump" if kind.startswith("D") else ""), message))
        return self.sent[-1]
