"""Whether bytes can be a message of Protocol Buffers at all: fields whose lengths add up to the whole.

https://protobuf.dev/programming-guides/encoding/
"""

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_MOST_FIELD = 1 << 29
_VARINT_BYTES = 10

Fields = tuple[tuple[int, int], ...]
"""Number and wire type of each field, in order."""


def fields_on_the_wire(value: bytes) -> Fields | None:
    """The fields of a message; None where the bytes cannot be one, or hold none."""
    found: list[tuple[int, int]] = []
    at = 0
    while at < len(value):
        tag, at = varint(value, at)
        number, kind = tag >> 3, tag & 7
        if at < 0 or not 0 < number < _MOST_FIELD:
            return None
        if kind == _VARINT:
            _, at = varint(value, at)
        elif kind == _LENGTH:
            length, at = varint(value, at)
            at = at + length if at >= 0 else at
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:
            return None
        if not 0 <= at <= len(value):
            return None
        found.append((number, kind))
    return tuple(found) or None


def varint(value: bytes, at: int) -> tuple[int, int]:
    """A number of variable length, and where it ends; negative where it does not."""
    found = 0
    for place, byte in enumerate(value[at : at + _VARINT_BYTES]):
        found |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return found, at + place + 1
    return 0, -1
