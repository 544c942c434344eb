"""MessagePack (https://github.com/msgpack/msgpack/blob/master/spec.md), one value a message."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from ingestion.formats.canonical import Unsayable, base64_text, canonical
from ingestion.formats.each import read_each
from ingestion.formats.items import likeness_of_items
from ingestion.formats.likeness import GUESS, Likeness, Sample
from ingestion.formats.port import FormatOptions, Refusal, Surroundings, Texts

NOT_MSGPACK = "not_msgpack"
_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True)
class MsgpackFormat:
    """Times are ISO text; an extension type is its code and its data."""

    name: str = "msgpack"
    options: type[FormatOptions] = FormatOptions
    reasons: frozenset[str] = frozenset({NOT_MSGPACK})
    keeps_bytes: bool = True
    libraries: tuple[str, ...] = ("msgpack",)
    extra: str = "msgpack"

    def texts(self, events: pa.Table, options: FormatOptions, around: Surroundings) -> Texts:
        """Decode each value."""
        return read_each(events, around, _read)

    def recognise(self, samples: Sequence[Sample]) -> Likeness | None:
        """Whether they are whole values of it, and what they hold."""
        found = [_read(each.value, None) for each in samples]
        return likeness_of_items("MessagePack", found, samples, numbered_level=GUESS)


def _read(value: bytes, headers: str | None) -> bytes | Refusal:
    import msgpack

    try:
        found = msgpack.unpackb(value, raw=False, strict_map_key=False, timestamp=0, object_pairs_hook=_once)
        return canonical(found, _special)
    except msgpack.ExtraData as error:
        return Refusal(NOT_MSGPACK, f"{len(error.extra)} bytes follow the value")
    except Unsayable as error:
        return Refusal(NOT_MSGPACK, str(error))
    except RecursionError:
        return Refusal(NOT_MSGPACK, "it nests too deep")
    except (
        ValueError,
        TypeError,
        msgpack.UnpackException,
    ) as error:  # a map's name may be no name of Python's
        return Refusal(NOT_MSGPACK, str(error) or f"it is not whole ({type(error).__name__})")


def _once(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Unsayable("a map has a name twice")
    return found


def _special(value: Any) -> Any:
    import msgpack

    if isinstance(value, msgpack.Timestamp):
        try:
            day = _EPOCH + timedelta(seconds=value.seconds)
        except OverflowError:  # outside the years 1 to 9999
            return {"seconds": value.seconds, "nanoseconds": value.nanoseconds}
        part = f".{value.nanoseconds:09}" if value.nanoseconds else ""
        return f"{day.isoformat()}{part}Z"
    if isinstance(value, msgpack.ExtType):
        return {"ext": value.code, "data": base64_text(value.data)}
    raise Unsayable(f"a {type(value).__name__} has no place in JSON")


MSGPACK = MsgpackFormat()
