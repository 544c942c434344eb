"""What a kind of broker brings: its declaration, its access, and a log or a listener. One folder a kind.

A connector never sees a stream: it gets a name and the declaration of its own kind. How to write one:
docs/extending.md.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict

from ingestion.connectors.intake import Intake
from ingestion.connectors.listener import Listener
from ingestion.connectors.messages import Look, Message, Sender
from ingestion.connectors.spec import SourceSpec
from ingestion.log.port import Log
from ingestion.spool.lanes import Place


class Access(BaseModel):
    """How brokers of a kind are reached: read from MILLRACE_<KIND>_<FIELD> (Settings.access)."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    @property
    def namespace(self) -> str:
        """Where its places are, as OpenLineage names it; without a login. Empty where it is not known."""
        return ""


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
class SharingConnector(CollectingConnector, Protocol):
    """A kind of which several collectors may run: they share the events of sources with `is_shared`."""

    def collectors(self, access: Any) -> int:
        """How many are wanted, at least one.

        Args:
            access: How the broker is reached.
        """
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
