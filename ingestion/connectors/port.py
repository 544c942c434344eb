"""What a kind of broker brings: its declaration, its access, and a log or a listener. One folder a kind.

A connector never sees a stream: it gets a name and the declaration of its own kind. How to write one:
docs/extending.md.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Protocol, runtime_checkable

import pyarrow as pa
from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema

from ingestion.connectors.marts import MartReader
from ingestion.connectors.messages import Look, Message, Sender
from ingestion.log.port import Log, Start
from ingestion.spool.guarded import Held
from ingestion.spool.lanes import Place, Placed
from ingestion.spool.writer import SpoolEvent


def _as_start(value: object) -> object:
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, str) and value not in ("earliest", "latest"):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"'{value}' is neither earliest, latest nor an ISO time") from None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return value


def as_tuple(value: object) -> object:
    """A word as a list of one; anything else stays as it is."""
    return (value,) if isinstance(value, str) else value


_WORDS_SCHEMA: dict[str, object] = {
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]
}
OneOrMore = Annotated[tuple[str, ...], BeforeValidator(as_tuple), WithJsonSchema(_WORDS_SCHEMA)]
"""Several words, or one written without a list."""


_START_SCHEMA: dict[str, object] = {
    "anyOf": [{"enum": ["earliest", "latest"]}, {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}"}]
}


class TopicPlace(NamedTuple):
    """Where raw has the topic that an event was sent to.

    Attributes:
        column: The topic is the event's key, or the partition's name up to its number.
        separator: What stands between two levels of a topic.
    """

    column: Literal["event_key", "source_partition"]
    separator: str


class SourceSpec(BaseModel):
    """What a stream's `source` says; each kind adds its key, which is the kind's name, and its options.

    Attributes:
        kind: The kind; a key of this name holds what is read.
        topic_place: Where an event's topic is; None for a kind without topics.
        start: Where the stream begins.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: ClassVar[str]
    topic_place: ClassVar[TopicPlace | None] = None

    start: Annotated[Start, BeforeValidator(_as_start), WithJsonSchema(_START_SCHEMA)] = "earliest"

    @property
    def origin(self) -> str:
        """Where events come from, as in `Kafka orders`."""
        raise NotImplementedError

    @property
    def is_collected(self) -> bool:
        """Whether a collector has to listen for it, where its kind has one (CollectingConnector)."""
        return True

    @property
    def skips_truncated(self) -> bool:
        """Whether unread events that retention deleted are given up: the stream goes on after the gap."""
        return False

    def covers(self, partition: str) -> bool:
        """Whether the declaration covers a partition that the stream has read once."""
        return True

    def absent(self, partitions: Collection[str]) -> tuple[str, ...]:
        """The places that are named here and of which the broker has nothing.

        Args:
            partitions: What the log holds.
        """
        return ()

    def destination(self, named: str = "") -> str:
        """Where a sender puts an event that this source reads.

        Args:
            named: The user's choice; empty where the source itself names one place.

        Raises:
            ConfigError: The source names several places and nothing was chosen, or it does not read what
                was chosen.
        """
        raise NotImplementedError


class Access(BaseModel):
    """How brokers of a kind are reached: read from MILLRACE_<KIND>_<FIELD> (Settings.access)."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


@dataclass(frozen=True)
class Finding:
    """What an examination found.

    Attributes:
        part: What was examined.
        state: ok, problem, or note for something that is not wrong by itself.
        message: One sentence; of a problem it ends with the remedy.
    """

    part: str
    state: Literal["ok", "note", "problem"]
    message: str


Receipt = Any
"""What a listener needs to acknowledge one event; opaque to everybody else."""
NOBODY: Receipt = "nobody"
"""The receipt of an event that nobody will send again: it is stored even if its listener fails, and
never comes back to it."""


@dataclass(frozen=True)
class Whereabouts:
    """Where events are that were stored.

    Attributes:
        first: Position of the first one, as the lake counts them.
        count: How many there are.
        in_lake: How many of them are in raw or in raw.rejects; the others wait in the spool.
        batches: That brought them.
        snapshot: The version of the lake in which this was seen.
    """

    first: int
    count: int
    in_lake: int
    batches: tuple[int, ...]
    snapshot: int


class Intake(Protocol):
    """Takes what a listener receives, until it is durable."""

    def take(
        self,
        event: SpoolEvent,
        streams: tuple[str, ...],
        *,
        receipt: Receipt,
        lane: str,
        placed: Placed | None = None,
    ) -> None:
        """Accept an event for some streams; none: no stream takes it, so it is kept beside them.

        The receipt comes back through `Listener.acknowledge` once the event is durable. Events that are taken
        within one `pump` go to a spool in one commit: after a crash it has all of them or none.

        Args:
            event: The event.
            streams: Whom it is for.
            receipt: What acknowledges it.
            lane: Whose order it keeps: receipts of a lane come back in the order of `take`. A stream that
                cannot store holds up its lane only.
            placed: Called with each place where the event is durable, before the receipt comes back.
        """
        ...

    def held(self, stream: str) -> Held | None:
        """Why nothing is stored for a stream at the moment; None when all is well, as far as is known."""
        ...

    def newest(self, stream: str) -> Iterator[tuple[str, int, pa.Table]]:
        """What the newest segment of a stream's spool holds, also after a crash: it is never trimmed.

        Yields:
            The log's identity, a first position, and events of SPOOL_SCHEMA from there on.

        Raises:
            StorageError: It cannot be read.
        """
        ...

    def whereabouts(self, place: Place, count: int) -> Whereabouts | None:
        """Where events are that were stored from a place on; from any thread. None: their spool was replaced.

        Args:
            place: The first one's; of its log's identity a beginning is enough.
            count: How many there are.

        Raises:
            MillraceError: Lake or spool cannot be read.
        """
        ...

    @property
    def marts(self) -> MartReader:
        """Reads marts, for a listener that also answers questions; from any thread."""
        ...

    def kept(self, stream: str, *, after: Place | None) -> Iterator[tuple[Place, SpoolEvent]]:
        """What a stream's spool holds durably, in its order: for a listener that says where it goes on.

        Args:
            stream: The stream.
            after: Only what follows it; None, or a place in another log: all that is there.

        Raises:
            StorageError: The spool cannot be read.
        """
        ...

    def waiting_of(self, lane: str) -> int:
        """How many events of a lane are not acknowledged yet."""
        ...

    def revise(self, revised: Callable[[Receipt], Receipt | None]) -> None:
        """Change the receipts of what is not durable; what gets None is dropped: it will be sent again."""
        ...


@dataclass(frozen=True)
class ListenerStatus:
    """How a listener is.

    Attributes:
        address: Of the broker, or where it listens.
        connected: It is in contact with the broker.
        ready: It receives everything that is declared.
        error: What is wrong now, as one sentence; empty when all is well.
        warning: What was lost or is in danger, as one sentence; empty otherwise.
        figures: Further figures under names of the kind's own, for status.json.
    """

    address: str
    connected: bool
    ready: bool
    error: str = ""
    warning: str = ""
    figures: Mapping[str, object] = field(default_factory=dict)


class Listener(Protocol):
    """Listens to senders that wait for an acknowledgement; keeps no event, runs in its caller's thread."""

    def pump(self, timeout_seconds: float, *, more: Callable[[str], bool]) -> None:
        """Wait for senders, then hand over what is there while `more(lane)`; connect first where that is due.

        Args:
            timeout_seconds: How long to wait.
            more: Whether a lane may take another event.
        """
        ...

    def acknowledge(self, receipts: Iterable[Receipt]) -> None:
        """Acknowledge events that are durable; of each lane in the order in which they were taken."""
        ...

    def status(self) -> ListenerStatus:
        """How it is now."""
        ...

    def close(self) -> None:
        """Send what is queued and leave; what is not acknowledged will be sent again."""
        ...


@dataclass(frozen=True)
class Token:
    """A sender's token, without what it is.

    Attributes:
        id: Its name, for whoever revokes it.
        made_at: UTC, ISO 8601.
    """

    id: str
    made_at: str


class Tokens(Protocol):
    """The tokens that senders show; a running collector takes changes in at once."""

    def of(self, stream: str) -> list[Token]:
        """A stream's tokens.

        Raises:
            StorageError: What is kept of them cannot be read.
        """
        ...

    def make(self, stream: str) -> str:
        """A new one, which is shown once; the others stay valid.

        Raises:
            StorageError: It cannot be written down.
        """
        ...

    def revoke(self, stream: str, token_id: str) -> bool:
        """End one; returns whether there was one of that name.

        Raises:
            StorageError: It cannot be written down.
        """
        ...


class Connector(Protocol):
    """One kind of broker. There is one value a kind; the registry names it.

    Attributes:
        kind: As streams.yml and the variables name it.
        spec: Its declaration.
        access: How it is reached.
        libraries: Modules of its client: a missing one is an error that names `extra`; the process that runs
            are forked from imports them once.
        extra: The optional dependency that installs them; empty where the product always does.
    """

    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def spec(self) -> type[SourceSpec]: ...  # noqa: D102
    @property
    def access(self) -> type[Access]: ...  # noqa: D102
    @property
    def libraries(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def extra(self) -> str: ...  # noqa: D102

    def open_log(self, name: str, spec: Any, access: Any, *, spool: Path, timeout_seconds: float) -> Log:
        """Open a stream's log; nothing is contacted before the first call.

        Args:
            name: The stream's name.
            spec: Its source.
            access: How the broker is reached.
            spool: The folder of all spools.
            timeout_seconds: Bound of each call.
        """
        ...

    def examine(self, access: Any, *, timeout_seconds: float) -> Iterator[Finding]:
        """Whether the broker answers, for `millrace doctor`; nothing where opening its logs shows that."""
        ...

    def peek(self, spec: Any, access: Any, look: Look) -> Iterator[Message]:
        """Show messages of a source and take none: nothing that others read or remember changes.

        A log gives messages that it holds, in order of time. A broker without one gives the next messages, as
        they come. The iterator ends at the limit, at the end of the log, or when the wait is over.

        Args:
            spec: The source.
            access: How the broker is reached.
            look: How much.

        Raises:
            ConfigError: The access is incomplete, or the kind cannot look where `look` says.
            SourceUnavailable: The broker is away, refuses, or has no such place; then with similar names.
        """
        ...

    def open_sender(self, access: Any, *, timeout_seconds: float) -> Sender:
        """Make a sender; it connects at its first call.

        Args:
            access: How the broker is reached.
            timeout_seconds: Bound of connecting and of each acknowledgement.

        Raises:
            ConfigError: The access is incomplete.
        """
        ...


@runtime_checkable
class CollectingConnector(Connector, Protocol):
    """A kind whose senders wait for an acknowledgement: a collector listens to them and fills spools.

    Attributes:
        collector: Name of the collector's process, of its log, and of its folder in the data folder.
    """

    @property
    def collector(self) -> str: ...  # noqa: D102

    def is_configured(self, access: Any) -> bool:
        """Whether there is something to listen to; without, no collector is started."""
        ...

    def open_listener(
        self, sources: Mapping[str, Any], access: Any, *, state: Path, intake: Intake, timeout_seconds: float
    ) -> Listener:
        """Make a listener for some streams; it connects when it is pumped.

        Args:
            sources: Stream's name → its source.
            access: How the broker is reached.
            state: A folder for what it must remember; nobody else writes there.
            intake: Takes what it receives.
            timeout_seconds: Bound of an attempt to connect.

        Raises:
            ConfigError: The access is incomplete.
        """
        ...

    def identity(self, state: Path) -> str:
        """Under which name the broker keeps what it queues for this installation's listener; empty: none."""
        ...

    def take_over(self, state: Path, identity: str) -> None:
        """Give this installation the listener's name of another one, which must never run again."""
        ...


@runtime_checkable
class TokenConnector(CollectingConnector, Protocol):
    """A kind whose senders show tokens, where their stream says so."""

    def wants_token(self, spec: Any) -> bool:
        """Whether a source's senders show one."""
        ...

    def subject_of_mart(self, mart: str) -> str:
        """What tokens for reading a mart belong to; of all marts where none is named."""
        ...

    def tokens(self, state: Path) -> Tokens:
        """The tokens of an installation.

        Args:
            state: The collector's folder.
        """
        ...


@runtime_checkable
class ReceiptConnector(CollectingConnector, Protocol):
    """A kind whose senders get receipts."""

    def receipt(self, text: str) -> Sequence[tuple[Place, int]]:
        """What a receipt names: the place of the first event and their number, in each stream.

        Args:
            text: The receipt's id.

        Returns:
            Nothing where the text is not a receipt.
        """
        ...
