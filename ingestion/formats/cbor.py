"""CBOR (RFC 8949), one value a message."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from io import BytesIO
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Any
from uuid import UUID

import pyarrow as pa

from ingestion.formats.canonical import MOST_LEVELS, Unsayable, canonical
from ingestion.formats.each import read_each
from ingestion.formats.items import likeness_of_items
from ingestion.formats.likeness import CERTAIN, Likeness, Sample, likeness
from ingestion.formats.port import FormatOptions, Refusal, Surroundings, Texts

NOT_CBOR = "not_cbor"
_MARK = b"\xd9\xd9\xf7"
_LARGEST_EXPONENT = 6144  # of decimal128: a decimal of a few bytes may have a billion digits
_AS_IT_IS = (0, 1, 35, 36, 258, 260, 261, 1004)
"""Tags that say what a text, a number or an array means: times, patterns, mails, sets, addresses, dates."""
_SHARED = (25, 28, 29, 256)
"""Tags by which a few bytes may mean as many values as one likes."""
_ADDRESSES = (IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network)


@dataclass(frozen=True)
class CborFormat:
    """Big integers, decimals and UUIDs are themselves; another tag is its number and its value."""

    name: str = "cbor"
    options: type[FormatOptions] = FormatOptions
    reasons: frozenset[str] = frozenset({NOT_CBOR})
    keeps_bytes: bool = True
    libraries: tuple[str, ...] = ("cbor2",)
    extra: str = "cbor"

    def texts(self, events: pa.Table, options: FormatOptions, around: Surroundings) -> Texts:
        """Decode each value."""
        return read_each(events, around, _read)

    def recognise(self, samples: Sequence[Sample]) -> Likeness | None:
        """Whether they are whole values of it, and what they hold."""
        found = [_read(each.value, None) for each in samples]
        marked = sum(
            isinstance(text, bytes) and each.value.startswith(_MARK)
            for text, each in zip(found, samples, strict=True)
        )
        if marked == len(samples):
            return likeness(CERTAIN, marked, samples, "CBOR's own mark d9 d9 f7 at the beginning")
        return likeness_of_items("CBOR", found, samples)


def _read(value: bytes, headers: str | None) -> bytes | Refusal:
    try:
        return canonical(_whole(value), _special)
    except Unsayable as error:
        return Refusal(NOT_CBOR, str(error))
    except RecursionError:
        return Refusal(NOT_CBOR, "it nests too deep")
    except Exception as error:  # the library's decoders of tags raise whatever their types do
        cause = error.__cause__ if isinstance(error.__cause__, Unsayable) else error
        return Refusal(NOT_CBOR, str(cause) or type(cause).__name__)


def _whole(value: bytes) -> Any:
    import cbor2

    file = BytesIO(value)
    found = cbor2.CBORDecoder(
        file, semantic_decoders=_DECODERS, max_depth=MOST_LEVELS, allow_duplicate_keys=False
    ).decode()
    if file.tell() < len(value):
        raise Unsayable(f"{len(value) - file.tell()} bytes follow the value")
    return found


def _inner(value: Any, immutable: bool) -> Any:
    return value


def _refuse(value: Any, immutable: bool) -> Any:
    raise Unsayable("it holds shared values or text references (tags 25, 28, 29, 256), which are not read")


_DECODERS = {**dict.fromkeys(_AS_IT_IS, _inner), **dict.fromkeys(_SHARED, _refuse)}


def _special(value: Any) -> Any:
    import cbor2

    if isinstance(value, Decimal):
        exponent = value.as_tuple().exponent
        if isinstance(exponent, int) and abs(exponent) > _LARGEST_EXPONENT:
            raise Unsayable(f"a decimal has the exponent {exponent}, the largest is {_LARGEST_EXPONENT}")
        return str(value)
    if isinstance(value, cbor2.CBORTag):
        return {"tag": value.tag, "value": value.value}
    if isinstance(value, cbor2.CBORSimpleValue):
        return {"simple": value.value}
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, (UUID, Fraction, *_ADDRESSES)):
        return str(value)
    if value is cbor2.undefined:
        return None
    raise Unsayable(f"a {type(value).__name__} has no place in JSON")


CBOR = CborFormat()
