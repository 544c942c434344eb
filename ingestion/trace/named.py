"""What a text names: an event by its id in raw or by its business id, or the events of a receipt.

Where an event is by now is event.py's.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from ingestion.clock import utc_now
from ingestion.collect.whereabouts import LakeView
from ingestion.connectors.port import ReceiptConnector
from ingestion.connectors.registry import connectors
from ingestion.declare.decoding import decoder_of
from ingestion.declare.stream import Stream
from ingestion.errors import EventUnknown, MillraceError
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import StreamState, read_format_states
from ingestion.log.envelope import SOURCE_SCHEMA
from ingestion.log.port import Bounds, Log, Window
from ingestion.spool.log import SpoolLog
from ingestion.watch.queries import business_key
from ingestion.watch.raw_events import events_of

_EVENT_ID = re.compile(r"(?P<partition>.+)@(?P<position>\d{1,18})(?:#\d+)?")
_SEPARATOR = ","
_UNREAD = 10_000
"""Events of a log that are searched for a business id, in a partition."""

Way = Literal["event id", "business id", "receipt"]


@dataclass(frozen=True)
class Named:
    """An event that was named.

    Attributes:
        stream: Its stream.
        partition: Of its log.
        position: There, as the lake counts.
        way: How it was named.
    """

    stream: Stream
    partition: str
    position: int
    way: Way

    @property
    def event_id(self) -> str:
        """As raw names it."""
        return f"{self.partition}@{self.position}"


@dataclass(frozen=True)
class Found:
    """What a text names.

    Attributes:
        events: The events, at most as many as were asked for.
        count: How many there are.
    """

    events: tuple[Named, ...]
    count: int


class Finder:
    """Finds events in some streams.

    Args:
        lake: The lake, which may be read-only.
        streams: Where to look.
        logs: The streams' logs.
        states: What the lake knows of each stream that has a batch.
    """

    def __init__(
        self,
        lake: Lake,
        streams: Sequence[Stream],
        *,
        logs: Mapping[str, Log],
        states: Mapping[str, StreamState],
    ) -> None:
        self._lake, self._streams, self._logs, self._states = lake, streams, logs, states
        self._away: list[str] = []

    def find(self, text: str, *, limit: int) -> Found:
        """What a text names.

        Args:
            text: A receipt, an event id, or a business id (its parts with commas between).
            limit: Events at most.

        Raises:
            EventUnknown: Nothing; says what was looked through.
        """
        for events in (self._of_receipt(text), self._by_event_id(text), self._by_business_id(text)):
            found = list(events)
            if found:
                return Found(tuple(found[:limit]), len(found))
        raise EventUnknown(self._nothing(text))

    def _of_receipt(self, text: str) -> Iterator[Named]:
        kinds = [kind for kind in connectors() if isinstance(kind, ReceiptConnector)]
        places = next((places for kind in kinds if (places := kind.receipt(text))), ())
        known = {stream.name: stream for stream in self._streams}
        view = LakeView(self._lake.settings, self._lake.settings.data_dir / "spool")
        try:
            for place, count in places:
                if place.spool not in known:
                    raise EventUnknown(
                        f"the receipt is one of stream '{place.spool}', which is not among the streams that "
                        "were looked through: was it renamed in streams.yml, or left out with --stream?"
                    )
                where = view.find(place, count)
                if where is None:
                    raise EventUnknown(
                        f"the receipt is for a spool of stream '{place.spool}' that was lost or replaced, so "
                        "its positions say nothing: look for the business id instead"
                    )
                partition = SpoolLog(place.spool, self._lake.settings.data_dir / "spool").partition
                for position in range(where.first, where.first + count):
                    yield Named(known[place.spool], partition, position, "receipt")
        finally:
            view.close()

    def _by_event_id(self, text: str) -> Iterator[Named]:
        """Every stream that reads the partition has such an event: several may read one topic."""
        match = _EVENT_ID.fullmatch(text)
        if match is None:
            return
        partition, position = match["partition"], int(match["position"])
        for stream in self._streams:
            state = self._states.get(stream.name)
            if (state and partition in state.positions) or partition in self._bounds(stream):
                yield Named(stream, partition, position, "event id")

    def _by_business_id(self, text: str) -> Iterator[Named]:
        """Every delivery, those that nobody has read yet last."""
        for stream in self._streams:
            if stream.business_id and stream.name in self._states:
                yield from self._rows(stream, f'raw."{stream.name}"', text)
        for stream in self._streams:
            if stream.business_id:
                yield from self._unread(stream, text)

    def _rows(self, stream: Stream, table: str, text: str) -> Iterator[Named]:
        sql = (
            f"select distinct source_partition, position, batch_id from {events_of(stream, table)} "
            f"where {_shown_key(stream)} = ? order by batch_id, source_partition, position"
        )
        for partition, position, _ in self._lake.query(sql, [text]):
            yield Named(stream, partition, int(position), "business id")

    def _unread(self, stream: Stream, text: str) -> Iterator[Named]:
        events = self._read_on(stream)
        if not events.num_rows:
            return
        decode = decoder_of(stream, self._lake.settings)
        decoded = decode(
            events, stream=stream.name, batch_id=0, ingested_at=utc_now(),
            max_bytes=self._lake.settings.payload_max_bytes,
            states=read_format_states(self._lake, stream.name) if decode.keeps_state else {},
        )  # fmt: skip
        connection = self._lake.connection
        connection.register("unread_events", decoded.events)
        try:
            yield from list(self._rows(stream, "unread_events", text))
        finally:
            connection.unregister("unread_events")

    def _read_on(self, stream: Stream) -> pa.Table:
        """The next events of each partition that the lake has not read."""
        state = self._states.get(stream.name)
        windows = {}
        for name, bounds in self._bounds(stream).items():
            known = state.positions.get(name) if state else None
            start = max(bounds.begin, known.next if known else bounds.begin)
            if start < bounds.end:
                windows[name] = Window(start, min(bounds.end, start + _UNREAD))
        chunks: Iterable[pa.Table] = ()
        if windows:
            try:
                chunks = [chunk.events for chunk in self._logs[stream.name].read(windows)]
            except MillraceError as error:
                self._away.append(f"stream '{stream.name}' could not be read on ({error})")
        return pa.concat_tables([SOURCE_SCHEMA.empty_table(), *chunks])

    def _bounds(self, stream: Stream) -> dict[str, Bounds]:
        try:
            return self._logs[stream.name].bounds()
        except MillraceError as error:
            self._away.append(f"the log of stream '{stream.name}' was not asked ({error})")
            return {}

    def _nothing(self, text: str) -> str:
        names = ", ".join(stream.name for stream in self._streams)
        keyed = [stream.name for stream in self._streams if stream.business_id]
        said = f"'{text}' is not an event of {names}: no partition@position, no receipt"
        said += f" and no business id ({', '.join(keyed)})" if keyed else ""
        away = f"; {'; '.join(dict.fromkeys(self._away))}" if self._away else ""
        return (
            f"{said}, neither in the lake nor among what is unread{away}. What a sender still holds, or what "
            "was sent to another address, nobody here has seen: 'millrace peek' shows what a source brings"
        )


def _shown_key(stream: Stream) -> str:
    """The business id as a person writes it; of a change, the row's: without the change's own place."""
    key = f"({business_key(stream)})"
    if stream.envelope == "debezium":
        key = f"regexp_replace({key}, chr(31) || '[^' || chr(31) || ']*$', '')"
    return f"replace({key}, chr(31), '{_SEPARATOR}')"
