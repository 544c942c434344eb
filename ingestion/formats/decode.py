"""Events as they came → rows of raw and of rejects, whole columns at a time. The same for every format.

What a format makes of bytes is in its own file; typing the fields of a payload is dbt's work.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from ingestion.formats.keys import read_keys
from ingestion.formats.packed import read_packed
from ingestion.formats.port import Format, FormatOptions, Refusal, Request, Surroundings, Texts, keeps_state
from ingestion.formats.registry import FormatChoice, choose_format, find_format, formats
from ingestion.formats.unpack import REASONS
from ingestion.log.envelope import EVENT_SCHEMA, REJECT_SCHEMA, UTC_MICROSECONDS
from ingestion.log.notation import column_as_text
from ingestion.settings import Settings

NOTHING: Mapping[str, str] = MappingProxyType({})
"""No state."""
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
        schemas: Which schemas of a registry the values (not the keys) were written with, in the order in
            which they came.
        states: Partition → what the next events are decoded by, where that has changed (Texts.states).
        requests: What is to be sent to the source once the events are in the lake.
    """

    events: pa.Table
    rejects: pa.Table
    event_bytes: pa.Array
    schemas: tuple[str, ...] = ()
    states: Mapping[str, str] = field(default_factory=dict)
    requests: tuple[Request, ...] = ()


class Decode(Protocol):
    """A decoder: one format with the part that all formats share.

    Attributes:
        keeps_state: Events are decoded by what came before them.
    """

    @property
    def keeps_state(self) -> bool: ...  # noqa: D102

    def __call__(
        self, events: pa.Table, *, stream: str, batch_id: int, ingested_at: datetime, max_bytes: int,
        states: Mapping[str, str] = NOTHING,
    ) -> Decoded:  # fmt: skip
        """Decode some events.

        Args:
            events: Rows of SOURCE_SCHEMA.
            stream: The stream's name.
            batch_id: Number of the batch that the rows will land in.
            ingested_at: Stamp for every row, UTC.
            max_bytes: A larger value is rejected without its bytes.
            states: Partition → what events before these have left (Decoded.states).

        Returns:
            As many rows as came in, each an event (a null value: a tombstone, payload null) or a reject.

        Raises:
            FormatUnavailable: What the format needs does not answer.
        """
        ...


def decoder(
    chosen: FormatChoice | str,
    settings: Settings | None = None,
    *,
    key: FormatChoice | None = None,
    topic_column: str = "",
) -> Decode:
    """The decoder of a format; a declared stream's is made in declare/decoding.py.

    Args:
        chosen: The format, by its name or as a stream declares it.
        settings: Of the system; a format that needs something from elsewhere is unavailable without.
        key: The format of the events' keys; None: they stay as they came, in the notation of log/notation.py.
        topic_column: The column that has an event's topic; empty: none has.
    """
    choice = choose_format(chosen) if isinstance(chosen, str) else chosen
    return _Decoder(choice, settings, key, topic_column)


@dataclass(frozen=True)
class _Decoder:
    """What `decoder` gives."""

    choice: FormatChoice
    settings: Settings | None
    key: FormatChoice | None
    topic_column: str

    @property
    def keeps_state(self) -> bool:
        return keeps_state(find_format(self.choice.name))

    def __call__(
        self, events: pa.Table, *, stream: str, batch_id: int, ingested_at: datetime, max_bytes: int,
        states: Mapping[str, str] = NOTHING,
    ) -> Decoded:  # fmt: skip
        events, of_name = events.combine_chunks(), find_format(self.choice.name)
        around = Surroundings(max_bytes, self.settings, topic_column=self.topic_column, states=states)
        sizes = pc.fill_null(pc.binary_length(events["value"]).combine_chunks(), 0)
        texts = _texts(of_name, self.choice.options, events, sizes, around)
        shared = _envelope(events, batch_id=batch_id, ingested_at=ingested_at)
        keys = shared["event_key"]
        if self.key is not None:
            around = replace(around, is_key=True, states=NOTHING)
            keys, refused = read_keys(events, shared["event_key"], self.key, around)
            texts = replace(texts, refused={**refused, **texts.refused})
        found = _split(events, sizes, texts, shared, keys, stream=stream, keeps_bytes=of_name.keeps_bytes)
        return replace(found, states=texts.states, requests=texts.requests)


def reasons() -> frozenset[str]:
    """Every reason for which an event may be rejected, of all formats together."""
    return (frozenset({TOO_LARGE}) | REASONS).union(*(find_format(name).reasons for name in formats()))


def _texts(
    chosen: Format, options: FormatOptions, events: pa.Table, sizes: pa.Array, around: Surroundings
) -> Texts:
    """What the format says; it sees a null in place of what is too large."""
    max_bytes = around.max_bytes
    too_large = pc.greater(sizes, max_bytes)
    if not pc.any(too_large).as_py():
        return read_packed(chosen, options, events, around)
    at = events.schema.get_field_index("value")
    shown = pc.if_else(too_large, pa.scalar(None, pa.binary()), events["value"].combine_chunks())
    answer = read_packed(
        chosen, options, events.set_column(at, events.schema.field("value"), shown).combine_chunks(), around
    )
    refused = {
        row: Refusal(TOO_LARGE, f"{sizes[row]} bytes, the limit is {max_bytes}")
        for row in pc.indices_nonzero(too_large).to_pylist()
    }
    return replace(answer, refused={**answer.refused, **refused})


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
    keys: pa.Array,
    *,
    stream: str,
    keeps_bytes: bool,
) -> Decoded:
    raw = events["value"] if keeps_bytes else _kept(events["value"], texts.altered)
    landed = pa.table({**shared, "event_key": keys, "payload": texts.payload, "payload_raw": raw})
    landed = landed.select(EVENT_SCHEMA.names)
    if not texts.refused:
        return Decoded(landed.cast(EVENT_SCHEMA), REJECT_SCHEMA.empty_table(), sizes, texts.schemas)
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
        texts.schemas,
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
