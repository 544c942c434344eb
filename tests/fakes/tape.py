"""A log: `source: {tape: reel}`; reels are kept in memory, under the address MILLRACE_TAPE_DECK."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pytest

from ingestion.connectors.messages import Look, Message, Outgoing
from ingestion.connectors.port import Access, Finding
from ingestion.connectors.spec import SourceSpec
from ingestion.errors import ConfigError, SourceUnavailable
from ingestion.log.envelope import SOURCE_SCHEMA
from ingestion.log.newest import look_at
from ingestion.log.port import Bounds, Break, Chunk, Log, Start, Window


class TapeSource(SourceSpec):
    """A reel of the configured deck."""

    kind: ClassVar[str] = "tape"
    tape: str

    @property
    def origin(self) -> str:
        return f"Tape {self.tape}"

    def destination(self, named: str = "") -> str:
        if named not in ("", self.tape):
            raise ConfigError(f"the stream does not read '{named}': its reel is {self.tape}")
        return self.tape


class TapeAccess(Access):
    """MILLRACE_TAPE_DECK."""

    deck: str | None = None


@dataclass
class Reel:
    """Some events, from `begin` on; positions that hold nothing are holes."""

    log_id: str = "first"
    begin: int = 0
    end: int = 0
    events: dict[int, dict[str, object]] = field(default_factory=dict)

    def record(
        self, *values: bytes | None, headers: str | None = None, at: datetime | None = None,
        key: bytes | None = None,
    ) -> None:  # fmt: skip
        for value in values:
            moment = at or datetime(2026, 3, 1, tzinfo=UTC)
            self.events[self.end] = {
                "event_key": key, "value": value, "headers": headers, "event_time": moment,
            }  # fmt: skip
            self.end += 1


class Deck:
    """Reels by name; `down` makes it unreachable."""

    def __init__(self) -> None:
        self.reels: dict[str, Reel] = defaultdict(Reel)
        self.confirmed: dict[str, int] = {}
        self.down = False


DECKS: dict[str, Deck] = defaultdict(Deck)


class TapeLog:
    """One reel, one partition."""

    stalls = 0
    keeps_until_confirmed = False

    def __init__(self, name: str, spec: TapeSource, deck: Deck) -> None:
        self._name, self._spec, self._deck = name, spec, deck
        self._partition = f"{spec.tape}-0"

    def _reel(self) -> Reel | None:
        if self._deck.down:
            raise SourceUnavailable(f"stream '{self._name}': the tape deck is off; switch it on")
        return self._deck.reels.get(self._spec.tape)

    def bounds(self) -> dict[str, Bounds]:
        reel = self._reel()
        return {self._partition: Bounds(reel.begin, reel.end, reel.log_id)} if reel else {}

    def has_moved(self, known: Mapping[str, Bounds]) -> bool:
        return self.bounds() != known

    def diverged(self, proofs: Mapping[str, str]) -> dict[str, int]:
        return {}

    def start_positions(self, start: Start, partitions: Mapping[str, Bounds]) -> dict[str, int]:
        reel = self._reel()
        assert reel is not None
        if start == "earliest":
            return {name: bounds.begin for name, bounds in partitions.items()}
        if start == "latest":
            return {name: bounds.end for name, bounds in partitions.items()}
        late = [at for at, event in reel.events.items() if event["event_time"] >= start]
        return {name: min(late, default=bounds.end) for name, bounds in partitions.items()}

    def read(self, windows: Mapping[str, Window]) -> Iterator[Chunk]:
        reel = self._reel()
        assert reel is not None
        for name, window in windows.items():
            rows = [
                {"source_partition": name, "position": at} | event
                for at, event in sorted(reel.events.items())
                if window.start <= at < window.end
            ]
            yield Chunk(pa.Table.from_pylist(rows, schema=SOURCE_SCHEMA), {name: window.end})

    def first_times(self, windows: Mapping[str, Window]) -> dict[str, datetime | None]:
        found = {name: next(self.read({name: window})).events for name, window in windows.items()}
        return {name: events["event_time"][0].as_py() for name, events in found.items() if len(events)}

    def confirm(self, positions: Mapping[str, int]) -> None:
        self._deck.confirmed |= positions

    def explain(self, broken: Break, *, position: int, bounds: Bounds | None) -> str:
        return {
            Break.GONE: f"is in the lake up to {position}, but the reel is lost; find it",
            Break.OTHER_LOG: "was recorded over; declare the new reel as a new stream",
            Break.ENDS_BEFORE: f"ends before our position {position}: the reel was cut; declare it again",
            Break.BEGINS_AFTER: f"begins after our position {position}: its beginning was erased",
            Break.PUT_BACK: f"was wound back before our position {position} and recorded on; declare it",
        }[broken]

    def close(self) -> None:
        pass


class TapeSender:
    """Records on a reel; tapes know neither keys nor headers."""

    def __init__(self, deck: Deck) -> None:
        self._deck = deck

    def prepare(self, destination: str, *, create: bool) -> None:
        if self._deck.down:
            raise SourceUnavailable("the tape deck is off; switch it on")
        if destination not in self._deck.reels and not create:
            raise SourceUnavailable(f"the deck has no reel '{destination}'; put one in")

    def send(self, messages: Sequence[Outgoing]) -> None:
        for message in messages:
            self.prepare(message.destination, create=True)
            self._deck.reels[message.destination].record(message.value)

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class TapeConnector:
    """The kind `tape`."""

    kind: str = "tape"
    spec: type[TapeSource] = TapeSource
    access: type[TapeAccess] = TapeAccess
    libraries: tuple[str, ...] = ()
    extra: str = ""

    def open_log(
        self, name: str, spec: TapeSource, access: TapeAccess, *, spool: Path, timeout_seconds: float
    ) -> Log:
        return TapeLog(name, spec, DECKS[access.deck or ""])

    def examine(self, access: TapeAccess, *, timeout_seconds: float) -> Iterator[Finding]:
        if not access.deck:
            yield Finding("tape broker", "problem", "no deck is configured: set MILLRACE_TAPE_DECK")
        else:
            yield Finding("tape broker", "ok", f"the deck {access.deck} is on")

    def peek(self, spec: TapeSource, access: TapeAccess, look: Look) -> Iterator[Message]:
        log = TapeLog("peek", spec, DECKS[access.deck or ""])
        if not log.bounds():
            reels = ", ".join(DECKS[access.deck or ""].reels)
            raise SourceUnavailable(f"the deck has no reel '{spec.tape}'; its reels are {reels}")
        for row in look_at(log, limit=look.limit, start=look.start).to_pylist():
            yield Message(*row.values())

    def open_sender(self, access: TapeAccess, *, timeout_seconds: float) -> "TapeSender":
        return TapeSender(DECKS[access.deck or ""])


TAPE = TapeConnector()


def one_event_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches then have many chunks."""
    whole = TapeLog.read

    def read(log: TapeLog, windows: Mapping[str, Window]) -> Iterator[Chunk]:
        for chunk in whole(log, windows):
            for row in range(chunk.events.num_rows):
                events = chunk.events.slice(row, 1)
                yield Chunk(events, {"reel-0": events["position"][0].as_py() + 1})

    monkeypatch.setattr(TapeLog, "read", read)
