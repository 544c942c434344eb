"""Events as they came → rows of raw and of rejects, whole columns at a time. The same for every format.

What a format makes of bytes is in its own file; typing the fields of a payload is dbt's work.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from ingestion.formats.port import Format, FormatOptions, Refusal, Surroundings, Texts
from ingestion.formats.registry import FormatChoice, choose_format, find_format, formats
from ingestion.formats.unpack import HEADER_PART, HEADER_PATTERN, REASONS, unpack
from ingestion.log.envelope import EVENT_SCHEMA, REJECT_SCHEMA, UTC_MICROSECONDS
from ingestion.log.notation import column_as_text

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


def decoder(chosen: FormatChoice | str) -> Decode:
    """The decoder of a format, by its name or as a stream declares it."""
    choice = choose_format(chosen) if isinstance(chosen, str) else chosen
    of_name = find_format(choice.name)

    def decode(
        events: pa.Table, *, stream: str, batch_id: int, ingested_at: datetime, max_bytes: int
    ) -> Decoded:
        events = events.combine_chunks()
        sizes = pc.fill_null(pc.binary_length(events["value"]).combine_chunks(), 0)
        texts = _texts(of_name, choice.options, events, sizes, max_bytes=max_bytes)
        shared = _envelope(events, batch_id=batch_id, ingested_at=ingested_at)
        return _split(events, sizes, texts, shared, stream=stream, keeps_bytes=of_name.keeps_bytes)

    return decode


def reasons() -> frozenset[str]:
    """Every reason for which an event may be rejected, of all formats together."""
    return (frozenset({TOO_LARGE}) | REASONS).union(*(find_format(name).reasons for name in formats()))


def _texts(
    chosen: Format, options: FormatOptions, events: pa.Table, sizes: pa.Array, *, max_bytes: int
) -> Texts:
    """What the format says; it is not asked about what is too large."""
    too_large = pc.greater(sizes, max_bytes)
    if not pc.any(too_large).as_py():
        return _read_packed(chosen, options, events, max_bytes=max_bytes)
    asked = pc.indices_nonzero(pc.invert(too_large))
    answer = _read_packed(chosen, options, events.take(asked).combine_chunks(), max_bytes=max_bytes)
    rows = asked.to_pylist()
    refused = {rows[row]: refusal for row, refusal in answer.refused.items()}
    for row in pc.indices_nonzero(too_large).to_pylist():
        refused[row] = Refusal(TOO_LARGE, f"{sizes[row]} bytes, the limit is {max_bytes}")
    payload = pc.replace_with_mask(pa.nulls(len(sizes), pa.string()), pc.invert(too_large), answer.payload)
    return Texts(payload, refused, frozenset(rows[row] for row in answer.altered))


def _read_packed(chosen: Format, options: FormatOptions, events: pa.Table, *, max_bytes: int) -> Texts:
    """What the format says of values that may be compressed: a header says so, or the format refuses them."""
    said = _rows_with_encoding(events)
    first = _unpacked(events, said, max_bytes=max_bytes)
    around = Surroundings(max_bytes=max_bytes)
    answer = chosen.texts(_with_values(events, first), options, around)
    refused = dict(answer.refused)
    second = _unpacked(events, [row for row in refused if row not in first], max_bytes=max_bytes)
    for row, found in (first | second).items():
        if isinstance(found, Refusal) and row in refused:
            refused[row] = found
    again = [row for row, found in second.items() if isinstance(found, bytes)]
    altered = answer.altered | {row for row, found in first.items() if isinstance(found, bytes)}
    if not again:
        return Texts(answer.payload, refused, altered - refused.keys())
    later = chosen.texts(_with_values(events, second).take(again).combine_chunks(), options, around)
    for row in again:
        del refused[row]
    refused |= {again[at]: refusal for at, refusal in later.refused.items()}
    mask = pc.is_in(pa.array(range(events.num_rows), pa.int64()), value_set=pa.array(again, pa.int64()))
    payload = pc.replace_with_mask(answer.payload, mask, later.payload)
    return Texts(payload, refused, (altered | set(again)) - refused.keys())


def _rows_with_encoding(events: pa.Table) -> list[int]:
    """The rows whose headers may say that the value is compressed."""
    headers = events["headers"].combine_chunks()
    text = headers.buffers()[2]
    # One search in all headers of a chunk at once: nearly always nothing is there.
    if text is None or HEADER_PART not in text.to_pybytes():
        return []
    found = pc.match_substring_regex(headers, HEADER_PATTERN, ignore_case=True)
    rows: list[int] = pc.indices_nonzero(pc.fill_null(found, False)).to_pylist()
    return rows


def _unpacked(events: pa.Table, rows: list[int], *, max_bytes: int) -> dict[int, bytes | Refusal]:
    """What unpacking makes of some rows; those that are not compressed are left out."""
    found = {}
    for row in rows:
        value = events["value"][row].as_py()
        unpacked = (
            None if value is None else unpack(value, events["headers"][row].as_py(), max_bytes=max_bytes)
        )
        if unpacked is not None:
            found[row] = unpacked
    return found


def _with_values(events: pa.Table, found: Mapping[int, bytes | Refusal]) -> pa.Table:
    """The events with other values where there are other bytes."""
    others = {row: value for row, value in sorted(found.items()) if isinstance(value, bytes)}
    if not others:
        return events
    mask = pc.is_in(pa.array(range(events.num_rows), pa.int64()), value_set=pa.array(others, pa.int64()))
    values = pc.replace_with_mask(
        events["value"].combine_chunks(), mask, pa.array(others.values(), pa.binary())
    )
    return events.set_column(events.schema.get_field_index("value"), events.schema.field("value"), values)


def _envelope(events: pa.Table, *, batch_id: int, ingested_at: datetime) -> dict[str, pa.Array]:
    """The columns that events and rejects have in common."""
    return {
        "batch_id": pa.repeat(pa.scalar(batch_id, pa.int64()), events.num_rows),
        "source_partition": events["source_partition"],
        "position": events["position"],
        "event_id": _event_ids(events),
        "event_key": column_as_text(events["event_key"]),
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
    raw = events["value"] if keeps_bytes else _kept(events["value"], texts.altered)
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


def _kept(values: pa.ChunkedArray, altered: frozenset[int]) -> pa.Array:
    """The bytes of those whose text is not their bytes."""
    nothing = pa.nulls(len(values), pa.binary())
    if not altered:
        return nothing
    rows = pa.array(sorted(altered), pa.int64())
    mask = pc.is_in(pa.array(range(len(values)), pa.int64()), value_set=rows)
    return pc.if_else(mask, values.combine_chunks(), nothing)


def _event_ids(events: pa.Table) -> pa.Array:
    """Positional identity, `partition@position`: two equal readings are two events."""
    return pc.binary_join_element_wise(events["source_partition"], events["position"].cast(pa.string()), "@")
