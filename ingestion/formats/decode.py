"""Events as they came → rows of raw and of rejects, whole columns at a time. The same for every format.

What a format makes of bytes is in its own file; typing the fields of a payload is dbt's work.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from ingestion.formats.port import Format, Refusal, Texts
from ingestion.formats.registry import find_format, formats
from ingestion.log.envelope import EVENT_SCHEMA, REJECT_SCHEMA, UTC_MICROSECONDS

TOO_LARGE = "too_large"
"""The reason that no format is asked about; its bytes are not kept."""
_DETAIL_CHARACTERS = 300


@dataclass(frozen=True)
class Decoded:
    """The two ends of every event read.

    Attributes:
        events: Rows of EVENT_SCHEMA.
        rejects: Rows of REJECT_SCHEMA.
        event_bytes: Bytes received of each row of `events`, in the same order; 0 for a tombstone.
    """

    events: pa.Table
    rejects: pa.Table
    event_bytes: pa.Array


class Decode(Protocol):
    """A decoder: one format with the part that all formats share."""

    def __call__(
        self, events: pa.Table, *, stream: str, batch_id: int, ingested_at: datetime, max_bytes: int
    ) -> Decoded:
        """Decode some events.

        Args:
            events: Rows of SOURCE_SCHEMA.
            stream: The stream's name.
            batch_id: Number of the batch that the rows will land in.
            ingested_at: Stamp for every row, UTC.
            max_bytes: A larger value is rejected without its bytes.

        Returns:
            As many rows as came in, each an event (a null value: a tombstone, payload null) or a reject.

        Raises:
            FormatUnavailable: What the format needs does not answer.
        """
        ...


def decoder(format_name: str) -> Decode:
    """The decoder of a format."""
    chosen = find_format(format_name)

    def decode(
        events: pa.Table, *, stream: str, batch_id: int, ingested_at: datetime, max_bytes: int
    ) -> Decoded:
        events = events.combine_chunks()
        sizes = pc.fill_null(pc.binary_length(events["value"]).combine_chunks(), 0)
        texts = _texts(chosen, events, sizes, max_bytes=max_bytes)
        shared = _envelope(events, batch_id=batch_id, ingested_at=ingested_at)
        return _split(events, sizes, texts, shared, stream=stream, keeps_bytes=chosen.keeps_bytes)

    return decode


def reasons() -> frozenset[str]:
    """Every reason for which an event may be rejected, of all formats together."""
    return frozenset({TOO_LARGE}).union(*(find_format(name).reasons for name in formats()))


def _texts(chosen: Format, events: pa.Table, sizes: pa.Array, *, max_bytes: int) -> Texts:
    """What the format says; it is not asked about what is too large."""
    too_large = pc.greater(sizes, max_bytes)
    if not pc.any(too_large).as_py():
        return chosen.texts(events)
    asked = pc.indices_nonzero(pc.invert(too_large))
    answer = chosen.texts(events.take(asked).combine_chunks())
    rows = asked.to_pylist()
    refused = {rows[row]: refusal for row, refusal in answer.refused.items()}
    for row in pc.indices_nonzero(too_large).to_pylist():
        refused[row] = Refusal(TOO_LARGE, f"{sizes[row]} bytes, the limit is {max_bytes}")
    payload = pc.replace_with_mask(pa.nulls(len(sizes), pa.string()), pc.invert(too_large), answer.payload)
    return Texts(payload, refused)


def _envelope(events: pa.Table, *, batch_id: int, ingested_at: datetime) -> dict[str, pa.Array]:
    """The columns that events and rejects have in common."""
    return {
        "batch_id": pa.repeat(pa.scalar(batch_id, pa.int64()), events.num_rows),
        "source_partition": events["source_partition"],
        "position": events["position"],
        "event_id": _event_ids(events),
        "event_key": _keys_as_text(events["event_key"]),
        "headers": events["headers"],
        "event_time": events["event_time"],
        "ingested_at": pa.repeat(pa.scalar(ingested_at, UTC_MICROSECONDS), events.num_rows),
    }


def _split(
    events: pa.Table,
    sizes: pa.Array,
    texts: Texts,
    shared: Mapping[str, pa.Array],
    *,
    stream: str,
    keeps_bytes: bool,
) -> Decoded:
    raw = events["value"] if keeps_bytes else pa.nulls(events.num_rows, pa.binary())
    landed = pa.table({**shared, "payload": texts.payload, "payload_raw": raw}).select(EVENT_SCHEMA.names)
    if not texts.refused:
        return Decoded(landed.cast(EVENT_SCHEMA), REJECT_SCHEMA.empty_table(), sizes)
    rows = sorted(texts.refused)
    refusals = [texts.refused[row] for row in rows]
    bad = pa.array(rows, pa.int64())
    good = pc.invert(pc.is_in(pa.array(range(events.num_rows), pa.int64()), value_set=bad))
    kept = [refusal.reason != TOO_LARGE for refusal in refusals]
    rejects = pa.table(
        {
            **{name: column.take(bad) for name, column in shared.items()},
            "stream": pa.repeat(pa.scalar(stream), len(rows)),
            "payload_raw": pc.if_else(
                pa.array(kept, pa.bool_()), events["value"].take(bad), pa.scalar(None, pa.binary())
            ),
            "payload_bytes": sizes.take(bad).cast(pa.int64()),
            "reason": [refusal.reason for refusal in refusals],
            "detail": [refusal.detail[:_DETAIL_CHARACTERS] for refusal in refusals],
        }
    )
    return Decoded(
        landed.filter(good).cast(EVENT_SCHEMA),
        rejects.select(REJECT_SCHEMA.names).cast(REJECT_SCHEMA),
        sizes.filter(good),
    )


def _event_ids(events: pa.Table) -> pa.Array:
    """Positional identity, `partition@position`: two equal readings are two events."""
    return pc.binary_join_element_wise(events["source_partition"], events["position"].cast(pa.string()), "@")


def _keys_as_text(keys: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    """Keys as text; one that is not UTF-8 as \\x and hexadecimal digits."""
    try:
        return keys.cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([_key_as_text(key) for key in keys.to_pylist()], pa.string())


def _key_as_text(key: bytes | None) -> str | None:
    if key is None:
        return None
    try:
        return key.decode("utf-8")
    except UnicodeDecodeError:
        return "\\x" + key.hex()
