"""What a format is: bytes as they came → JSON text, or a refusal with a reason. One file a format.

A format knows no lake: executors of other engines load it as well. How to write one: docs/extending.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, cast

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from ingestion.formats.likeness import Likeness, Sample
from ingestion.settings import Settings

FOLDER = "folder"
"""Key of the validation context: the folder from which the paths of options go, the project's."""
SETTINGS = "settings"
"""Key of the validation context: Settings, where a system is at hand."""


VIOLATES_SCHEMA = "violates_schema"
"""The reason for values that are whole, but not as a schema says; of every format that validates."""


class SchemaField(NamedTuple):
    """A field that a schema declares.

    Attributes:
        path: Where it is in the payload.
        type: As streams.yml writes it.
        doc: What the schema says about it; may be empty.
    """

    path: str
    type: str
    doc: str = ""


class NamedSchema(NamedTuple):
    """What is known here of a schema that values name.

    Attributes:
        subject: Under which subject of the registry it stands; empty where that is not known.
        version: Its version there; 0 where that is not known.
        record: Full name of what it describes; empty where it has none.
        fields: What it declares there; None: it does not say what is there.
    """

    subject: str
    version: int
    record: str
    fields: tuple[SchemaField, ...] | None


class Completeness(NamedTuple):
    """The keys of a payload by which a message shows what it lacks, and which messages never came.

    Attributes:
        unnamed: How many of a message's values have no known name or type.
        what: These values in a few words, as in "metrics that no birth names".
        sender: Who numbers messages; a session of its own where a number may begin again.
        number: The number, which rises by one.
        wraps_at: The highest; 0 follows.
        kind: Which kind of message it is.
        begins: The kind that may have any number: a sender begins with it.
        remedy: What to do about values without a name; `<stream>` stands for the stream's.
    """

    unnamed: str
    what: str
    sender: tuple[str, ...]
    number: str
    wraps_at: int
    kind: str
    begins: str
    remedy: str


class FormatOptions(BaseModel):
    """What a stream may declare about its format, as in `format: {json: {or_text: true}}`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def fields(self, around: "Surroundings") -> tuple[SchemaField, ...]:
        """The fields of a payload, where a schema declares them: a stream may leave its own out.

        Args:
            around: Where the stream is.

        Raises:
            FormatUnavailable: The schema is elsewhere, and nothing is known of it here.
        """
        return ()

    @property
    def names_schemas(self) -> bool:
        """Whether every value names its schema in a registry."""
        return False

    @property
    def shows_one_schema(self) -> bool:
        """Whether payloads have the fields of one schema, whichever one their values name."""
        return False

    def named_schema(
        self, name: str, around: "Surroundings", *, within: tuple[str, ...] = ()
    ) -> NamedSchema | None:
        """A schema that a value has named, as it is kept here; nobody is asked.

        Args:
            name: As Texts.schemas has it.
            around: Where the stream is.
            within: The keys of an object, or of an array of objects, in the payload: its fields are wanted.

        Returns:
            None where nothing of it is kept, or what is kept cannot be used.
        """
        return None

    @property
    def completeness(self) -> Completeness | None:
        """How payloads show what is missing in them and between them; None: they do not."""
        return None

    @property
    def makes_arrays(self) -> bool:
        """Whether every text is an array, of which each element is an event of staging."""
        return False


class Refusal(NamedTuple):
    """Why an event's bytes are not what the format says.

    Attributes:
        reason: One of the format's `reasons`.
        detail: What exactly is wrong.
    """

    reason: str
    detail: str


class Request(NamedTuple):
    """A message that a format wants the source's broker to have, once the batch is in the lake.

    Attributes:
        destination: As the source's sender takes it: a topic.
        value: Its bytes.
    """

    destination: str
    value: bytes


@dataclass(frozen=True)
class Texts:
    """What a format made of some events.

    Attributes:
        payload: A string array as long as the events: JSON text; null for a null value (a tombstone) and for
            what is refused.
        refused: Row → why it has no text.
        altered: Rows whose text is not what their bytes say: raw keeps these bytes, too.
        schemas: Which schemas of a registry the values were written with, in the order in which they came.
        states: Partition → what the next events of it are decoded by, where that is another than before; of a
            format that keeps state.
        requests: What is to be sent to the source, where the stream declares that something may be.
    """

    payload: pa.Array
    refused: Mapping[int, Refusal] = field(default_factory=dict)
    altered: frozenset[int] = frozenset()
    schemas: tuple[str, ...] = ()
    states: Mapping[str, str] = field(default_factory=dict)
    requests: tuple[Request, ...] = ()


@dataclass(frozen=True)
class Surroundings:
    """What a format may need to know besides the events and its options.

    Attributes:
        max_bytes: What a value may hold once it is unpacked, whichever way it is packed.
        settings: The data folder, and how what is elsewhere is reached; None where there is no system.
        topic: The topic that is read, where there is only one; empty otherwise.
        topic_column: The column of the events that has their topic; empty where they have none.
        is_key: The values are keys of events.
        states: Partition → what events before these have left, of a format that keeps state; empty: nothing.
    """

    max_bytes: int
    settings: Settings | None = None
    topic: str = ""
    topic_column: str = ""
    is_key: bool = False
    states: Mapping[str, str] = field(default_factory=dict)


def keeps_state(chosen: "Format") -> bool:
    """Whether events are decoded by what came before them: `keeps_state`, which a format may leave out.

    Such a format gets every event of a partition in order, a null in place of a value that is too large.
    """
    return bool(getattr(chosen, "keeps_state", False))


def request_birth(chosen: "Format", sender: str, *, at_ms: int) -> Request | None:
    """What asks a sender for what its messages are read by: `birth_request`, which a format may leave out.

    Args:
        chosen: The format.
        sender: As the format names its senders.
        at_ms: Now, in milliseconds since 1970.

    Returns:
        None where a format's senders cannot be asked.

    Raises:
        ValueError: Nobody is called so; says how senders are written.
    """
    make = getattr(chosen, "birth_request", None)
    return None if make is None else cast(Request, make(sender, at_ms))


def reads_text(chosen: "Format") -> bool:
    """Whether its bytes are text, whose marks and NULs it undoes: `is_text`, which a format may leave out."""
    return bool(getattr(chosen, "is_text", False))


class Format(Protocol):
    """One format. There is one value a format; the registry names it.

    Attributes:
        name: As streams.yml names it.
        options: What a stream may declare about it.
        reasons: Every reason it may refuse an event for.
        keeps_bytes: The received bytes of every event are kept beside the text (`payload_raw`).
        libraries: Modules that it needs; a missing one is an error that names `extra`.
        extra: The optional dependency that installs them; empty where the product always does.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def options(self) -> type[FormatOptions]: ...  # noqa: D102
    @property
    def reasons(self) -> frozenset[str]: ...  # noqa: D102
    @property
    def keeps_bytes(self) -> bool: ...  # noqa: D102
    @property
    def libraries(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def extra(self) -> str: ...  # noqa: D102

    def texts(self, events: pa.Table, options: FormatOptions, around: Surroundings) -> Texts:
        """Decode some events; any bytes at all end as text or as a refusal, never as an exception.

        Args:
            events: Rows of log.envelope.SOURCE_SCHEMA: value, key, headers, partition and position.
            options: What the stream declares.
            around: Limits.

        Raises:
            FormatUnavailable: What it needs (a schema registry, say) does not answer. The batch stops and
                refuses nothing: its events are read again.
        """
        ...

    def recognise(self, samples: Sequence[Sample]) -> Likeness | None:
        """What it says of samples whose format nobody has declared; raises nothing.

        Args:
            samples: At least one; any bytes.

        Returns:
            How sure it is and why; None where none of them can be its own.
        """
        ...
