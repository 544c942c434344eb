"""`kafka:orders` → a source that can be looked at or sent to, through the connector of its kind.

A stream's log, which batches read, is opened in logs.py.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from ingestion.clock import utc_now
from ingestion.connectors.messages import Look, Message, Sender
from ingestion.connectors.registry import connector, kinds, require_libraries
from ingestion.connectors.spec import SourceSpec
from ingestion.declare.decoding import decoder_of
from ingestion.declare.stream import Stream, suggest
from ingestion.errors import ConfigError
from ingestion.formats.decode import NOTHING, decoder
from ingestion.formats.registry import FormatChoice
from ingestion.log.envelope import SOURCE_SCHEMA
from ingestion.settings import Settings


def is_source(text: str) -> bool:
    """Whether a text names a source; else it names a stream."""
    return ":" in text


def read_source(text: str, options: Mapping[str, Any] | None = None) -> SourceSpec:
    """A source as one writes it on a command line.

    Args:
        text: kind:place, as in kafka:orders.
        options: Further options of the kind, as streams.yml has them.

    Raises:
        ConfigError: There is no such kind, or it does not take the place or an option.
    """
    kind, _, place = text.partition(":")
    if kind not in kinds():
        raise ConfigError(f"'{kind}' is not a kind of source{suggest(kind, kinds())}")
    spec = connector(kind).spec
    try:
        return spec.model_validate({kind: place, **(options or {})})
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        name = str(problem["loc"][0]) if problem["loc"] else kind
        message = str(problem["msg"]).removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = f"unknown option{suggest(name, set(spec.model_fields) - {kind})}"
        raise ConfigError(f"{text}: {'' if name == kind else f'{name}: '}{message}") from None


def peek(source: SourceSpec, settings: Settings, look: Look) -> Iterator[Message]:
    """Messages of a source (Connector.peek).

    Raises:
        ConfigError: The access is wrong, or the kind's client is not installed.
        SourceUnavailable: The broker is away, refuses, or has no such place.
    """
    kind = connector(source.kind)
    require_libraries(source.kind, kind.libraries, extra=kind.extra)
    return kind.peek(source, settings.access(source.kind, kind.access), look)


def open_sender(source: SourceSpec, settings: Settings) -> Sender:
    """A sender to the broker of a source.

    Raises:
        ConfigError: The access is wrong, or the kind's client is not installed.
    """
    kind = connector(source.kind)
    require_libraries(source.kind, kind.libraries, extra=kind.extra)
    access = settings.access(source.kind, kind.access)
    return kind.open_sender(access, timeout_seconds=settings.source_timeout_seconds)


@dataclass(frozen=True)
class Seen:
    """A message as its format reads it.

    Attributes:
        message: As it came.
        key: Its key as text.
        payload: JSON text; None for a tombstone and for what is refused.
        reason: Why it is refused; empty otherwise.
        detail: What exactly is wrong.
        format: The name of the format that reads it.
        states: What the next messages are decoded by, where it changed that.
    """

    message: Message
    key: str | None
    payload: str | None
    reason: str = ""
    detail: str = ""
    format: str = "json"
    states: Mapping[str, str] = field(default_factory=dict)


def read_message(
    message: Message,
    chosen: FormatChoice | Stream | str,
    *,
    max_bytes: int,
    settings: Settings | None = None,
    states: Mapping[str, str] = NOTHING,
) -> Seen:
    """Decode a message as a batch would.

    Args:
        message: As it came.
        chosen: The format, or the stream whose format it is.
        max_bytes: A larger value is refused.
        settings: How what the format needs is reached.
        states: What the messages before it have left (Seen.states), of a format that keeps state.

    Raises:
        FormatUnavailable: What the format needs does not answer.
    """
    row = {
        "source_partition": message.partition, "position": message.position or 0, "event_key": message.key,
        "value": message.value, "headers": message.headers, "event_time": message.sent_at,
    }  # fmt: skip
    name = str(chosen.format if isinstance(chosen, Stream) else chosen)
    decode = decoder_of(chosen, settings) if isinstance(chosen, Stream) else decoder(chosen, settings)
    decoded = decode(
        pa.Table.from_pylist([row], schema=SOURCE_SCHEMA),
        stream="", batch_id=0, ingested_at=utc_now(), max_bytes=max_bytes, states=states,
    )  # fmt: skip
    if decoded.rejects.num_rows:
        (refused,) = decoded.rejects.to_pylist()
        said = (refused["reason"], refused["detail"], name)
        return Seen(message, refused["event_key"], None, *said, states=decoded.states)
    (event,) = decoded.events.to_pylist()
    return Seen(message, event["event_key"], event["payload"], format=name, states=decoded.states)


def read_messages(
    messages: Iterable[Message], chosen: FormatChoice | Stream | str, *, max_bytes: int,
    settings: Settings | None = None,
) -> Iterator[Seen]:  # fmt: skip
    """Decode messages in the order in which they came, as `read_message` does each."""
    states = dict[str, str]()
    for message in messages:
        seen = read_message(message, chosen, max_bytes=max_bytes, settings=settings, states=states)
        states |= seen.states
        yield seen


def messages_of(events: pa.Table) -> list[Message]:
    """Rows of SOURCE_SCHEMA as messages."""
    return [
        Message(
            row["source_partition"], row["position"], row["event_key"], row["value"], row["headers"],
            row["event_time"], note="tombstone" if row["value"] is None else "",
        )
        for row in events.to_pylist()
    ]  # fmt: skip
