"""A listener: `source: {pigeon: loft}`; letters wait until they are acknowledged, and receipts come late."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ingestion.connectors.intake import Intake
from ingestion.connectors.listener import Listener, ListenerStatus
from ingestion.connectors.messages import Look, Message, Outgoing
from ingestion.connectors.port import Access, Finding
from ingestion.connectors.spec import SourceSpec
from ingestion.errors import ConfigError
from ingestion.json_file import write_json
from ingestion.log.port import Log
from ingestion.spool.log import SpoolLog
from ingestion.spool.writer import SpoolEvent


class PigeonSource(SourceSpec):
    """Letters to one loft."""

    kind: ClassVar[str] = "pigeon"
    pigeon: str

    @property
    def origin(self) -> str:
        return f"Pigeons to {self.pigeon}"

    def destination(self, named: str = "") -> str:
        if named not in ("", self.pigeon):
            raise ConfigError(f"the stream does not read '{named}': its loft is {self.pigeon}")
        return self.pigeon


class PigeonAccess(Access):
    """MILLRACE_PIGEON_HOUSE."""

    house: str | None = None


class House:
    """Letters that were sent; each is delivered again until it was acknowledged. Any thread may use it."""

    def __init__(self) -> None:
        self.flown: list[tuple[int, str, bytes]] = []  # whoever looks up sees them
        self.acknowledged: list[int] = []
        self._letters: list[tuple[int, str, bytes]] = []
        self._lock = threading.Lock()

    @property
    def letters(self) -> list[tuple[int, str, bytes]]:
        """Those that were not acknowledged: number, loft, text."""
        with self._lock:
            return list(self._letters)

    def send(self, loft: str, *letters: bytes) -> None:
        with self._lock:
            for letter in letters:
                sent = (len(self.flown) + 1, loft, letter)
                self.flown.append(sent)
                self._letters.append(sent)

    def acknowledge(self, numbers: Iterable[int]) -> None:
        with self._lock:
            known = set(numbers)
            self.acknowledged += sorted(known)
            self._letters = [letter for letter in self._letters if letter[0] not in known]


HOUSES: dict[str, House] = defaultdict(House)


class PigeonListener:
    """Acknowledges one turn later than it is told to: senders see late receipts."""

    def __init__(
        self, sources: Mapping[str, PigeonSource], house: House, address: str, intake: Intake
    ) -> None:
        self._sources, self._house, self._address, self._intake = sources, house, address, intake
        self._late: list[int] = []
        self._seen: set[int] = set()

    def pump(self, timeout_seconds: float, *, more: Callable[[str], bool]) -> None:
        self._send_receipts()
        for number, loft, letter in self._house.letters:
            if number not in self._seen and more(loft):
                self._seen.add(number)
                streams = tuple(name for name, source in self._sources.items() if source.pigeon == loft)
                event = SpoolEvent(loft.encode(), letter, None, 1_700_000_000_000_000 + number)
                self._intake.take(event, streams, receipt=number, lane=loft)

    def acknowledge(self, receipts: Iterable[int]) -> None:
        self._late += receipts

    def status(self) -> ListenerStatus:
        return ListenerStatus(self._address, connected=True, ready=True, figures={"late": len(self._late)})

    def close(self) -> None:
        self._send_receipts()

    def lose_contact(self) -> None:
        """What is not acknowledged comes again."""
        waiting = {number for number, _, _ in self._house.letters} - set(self._late)
        self._seen -= waiting
        self._intake.revise(lambda number: None if number in waiting else number)

    def _send_receipts(self) -> None:
        late, self._late = self._late, []
        self._house.acknowledge(late)


class PigeonSender:
    """Sends letters."""

    def __init__(self, house: House) -> None:
        self._house = house

    def prepare(self, destination: str, *, create: bool) -> None:
        pass

    def send(self, messages: Sequence[Outgoing]) -> None:
        for message in messages:
            if message.value is None:
                raise ConfigError("a pigeon carries no tombstones")
            self._house.send(message.destination, message.value)

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class PigeonConnector:
    """The kind `pigeon`."""

    kind: str = "pigeon"
    spec: type[PigeonSource] = PigeonSource
    access: type[PigeonAccess] = PigeonAccess
    libraries: tuple[str, ...] = ()
    extra: str = ""
    collector: str = "collector-pigeon"

    def open_log(
        self, name: str, spec: PigeonSource, access: PigeonAccess, *, spool: Path, timeout_seconds: float
    ) -> Log:
        return SpoolLog(name, spool)

    def examine(self, access: PigeonAccess, *, timeout_seconds: float) -> Iterator[Finding]:
        yield Finding("pigeon broker", "ok" if access.house else "problem", f"the house is {access.house}")

    def is_configured(self, access: PigeonAccess) -> bool:
        return bool(access.house)

    def open_listener(
        self,
        sources: Mapping[str, PigeonSource],
        access: PigeonAccess,
        *,
        state: Path,
        intake: Intake,
        timeout_seconds: float,
    ) -> Listener:
        if not self.identity(state):
            write_json(state / "ring", f"ring of {access.house}")
        return PigeonListener(sources, HOUSES[access.house or ""], str(access.house), intake)

    def identity(self, state: Path) -> str:
        ring = state / "ring"
        return ring.read_text().strip('"') if ring.exists() else ""

    def take_over(self, state: Path, identity: str) -> None:
        write_json(state / "ring", identity)

    def peek(self, spec: PigeonSource, access: PigeonAccess, look: Look) -> Iterator[Message]:
        if look.start != "latest":
            raise ConfigError("pigeons keep no letters to look back at: leave --from out")
        return _watch(HOUSES[access.house or ""], spec.pigeon, look)

    def open_sender(self, access: PigeonAccess, *, timeout_seconds: float) -> "PigeonSender":
        return PigeonSender(HOUSES[access.house or ""])


def _watch(house: House, loft: str, look: Look) -> Iterator[Message]:
    deadline, at, left = time.monotonic() + look.wait_seconds, len(house.flown), look.limit
    while left and time.monotonic() < deadline:
        for number, where, letter in house.flown[at:]:
            at += 1
            if where == loft and left:
                left -= 1
                yield Message("", None, loft.encode(), letter, None, None, note=f"letter {number}")
        time.sleep(0.01)


PIGEON = PigeonConnector()
