"""`millrace produce`: sends events to a stream's broker, from a file or made from the declared fields."""

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedReader
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import orjson

from ingestion.clock import utc_now
from ingestion.connectors.messages import Outgoing, Sender
from ingestion.connectors.spec import SourceSpec
from ingestion.declare.examples import example_payload
from ingestion.declare.logs import open_log
from ingestion.declare.sources import (
    is_source,
    messages_of,
    open_sender,
    read_messages,
    read_source,
)
from ingestion.declare.stream import DEFAULT_FORMAT, Stream
from ingestion.errors import ConfigError, MillraceError, StorageError
from ingestion.log.newest import look_at
from ingestion.settings import Settings
from orchestration.cli.context import Globals, err, out
from orchestration.cli.ingest import choose
from orchestration.cli.peek import read_pairs

_TOGETHER = 500
_LIKE = 50
"""Last events that made-up ones are like."""
_TICK_SECONDS = 0.05
_BLOCK_BYTES = 65_536
STDIN = Path("-")


@dataclass(frozen=True)
class Sending:
    """What is sent, and how.

    Attributes:
        file: A message a line; `-` is standard input; None: events are made from the declared fields.
        rate: Messages a second; None: as fast as the broker takes them.
        count: Messages at most; None for all, or for no end.
        repeat: Begin again at the file's end.
        to: The topic, where the source has several.
        key: Field whose value is the message's key.
        headers: Name=value, of every message.
        create: Make a missing topic.
    """

    file: Path | None = None
    rate: float | None = None
    count: int | None = None
    repeat: bool = False
    to: str = ""
    key: str = ""
    headers: Sequence[str] = ()
    create: bool = False


def produce(options: Globals, what: str, sending: Sending, *, as_json: bool) -> None:
    """Send, until the file's end, the count, or Ctrl-C.

    Args:
        options: The global options.
        what: A stream's name, or kind:place.
        sending: What, and how.
        as_json: Say it as JSON.

    Raises:
        ConfigError: There is nothing to send, or nowhere.
        SourceUnavailable: The broker did not accept a message; says how many it did.
    """
    settings = options.settings(needs_project=not is_source(what))
    stream, source = None, None
    if is_source(what):
        source = read_source(what)
    else:
        (stream,) = choose(options.streams(settings), [what], settings=settings)
        source = stream.source
    destination = source.destination(sending.to)
    values = _values(stream, sending, settings)
    headers = {name: str(value) for name, value in read_pairs(sending.headers).items()}
    sender, sent = open_sender(source, settings), 0
    try:
        sender.prepare(destination, create=sending.create)
        messages = (
            [Outgoing(destination, value, _key(value, sending.key), headers) for value in group]
            for group in _paced(values, sending)
        )
        with suppress(KeyboardInterrupt), err.status("sending …") as status:
            for sent in _send(sender, messages):
                status.update(f"{sent:,} sent; Ctrl-C ends it")
    finally:
        sender.close()
    _report(source, destination, sent, as_json=as_json)


def _send(sender: Sender, groups: Iterable[list[Outgoing]]) -> Iterator[int]:
    """Send groups; yields how many messages the broker has accepted so far."""
    sent = 0
    try:
        for group in groups:
            sender.send(group)
            sent += len(group)
            yield sent
    except MillraceError as error:
        raise type(error)(f"{error} ({sent:,} messages were accepted before)") from None


def _report(source: SourceSpec, destination: str, sent: int, *, as_json: bool) -> None:
    if as_json:
        json.dump({"source": source.origin, "destination": destination, "sent": sent}, sys.stdout)
        sys.stdout.write("\n")
        return
    what = "1 message" if sent == 1 else f"{sent:,} messages"
    out.print(f"the broker has accepted {what} for '{destination}'", markup=False)


def _values(stream: Stream | None, sending: Sending, settings: Settings) -> Iterator[list[bytes]]:
    """Payloads in groups, as they are there: a pipe gives what it has."""
    if sending.file is not None:
        return _lines(sending.file, repeat=sending.repeat)
    if stream is None:
        raise ConfigError(
            "events are made up for a stream of streams.yml only: name a --file, or - for a pipe"
        )
    if sending.rate is None and sending.count is None:
        raise ConfigError("say what to send: --file FILE, or --rate N or --count N for made-up events")
    if stream.format.name != DEFAULT_FORMAT.name:
        raise ConfigError(
            f"made-up events are {DEFAULT_FORMAT}, but stream '{stream.name}' is {stream.format}: "
            "name a --file"
        )
    if not stream.fields:
        raise ConfigError(f"stream '{stream.name}' declares no fields to make events up of: name a --file")
    return _made_up(stream, _last_payloads(stream, settings))


def _last_payloads(stream: Stream, settings: Settings) -> list[Any]:
    """What the stream's last events hold; nothing where it has none, or cannot be read."""
    log = open_log(stream, settings)
    try:
        messages = messages_of(look_at(log, limit=_LIKE))
    except MillraceError:
        return []  # the sender says what is wrong with the broker
    finally:
        log.close()
    most = settings.payload_max_bytes
    seen = list(read_messages(messages, stream, max_bytes=most, settings=settings))
    payloads = [json.loads(each.payload) for each in seen if each.payload is not None]
    return [payload for payload in payloads if isinstance(payload, dict)]


def _made_up(stream: Stream, like: list[Any]) -> Iterator[list[bytes]]:
    random, number = Random(), time.time_ns() // 1_000_000  # noqa: S311  # a simulation, not a secret
    while True:
        number += 1
        payload = example_payload(stream, number=number, now=utc_now(), random=random, like=like)
        are_lines = stream.format.options.makes_arrays
        yield [b"\n".join(map(orjson.dumps, payload)) if are_lines else orjson.dumps(payload)]


def _lines(file: Path, *, repeat: bool) -> Iterator[list[bytes]]:
    """A file's lines without empty ones."""
    if file == STDIN:
        yield from _read(sys.stdin.buffer)  # type: ignore[arg-type]
        return
    while True:
        found = False
        try:
            with file.open("rb") as opened:
                for lines in _read(opened):
                    found = True
                    yield lines
        except OSError as error:
            raise StorageError(f"{file} cannot be read: {error.strerror}") from None
        if not repeat or not found:
            return


def _read(opened: BufferedReader) -> Iterator[list[bytes]]:
    rest = b""
    while block := opened.read1(_BLOCK_BYTES):
        *whole, rest = (rest + block).split(b"\n")
        if lines := [line for line in (each.rstrip(b"\r") for each in whole) if line.strip()]:
            yield lines
    if rest.strip():
        yield [rest]


def _paced(groups: Iterator[list[bytes]], sending: Sending) -> Iterator[list[bytes]]:
    """The same messages in groups that are due, up to the count."""
    single = (value for group in groups for value in group)
    left = islice(single, sending.count)
    if sending.rate is None:
        if sending.file == STDIN and sending.count is None:
            yield from groups  # each as soon as it is typed or piped
            return
        while group := list(islice(left, _TOGETHER)):
            yield group
        return
    began, sent = time.monotonic(), 0
    while True:
        due = int((time.monotonic() - began) * sending.rate) + 1 - sent
        if due > 0:
            group = list(islice(left, min(due, _TOGETHER)))
            if not group:
                return
            sent += len(group)
            yield group
        else:
            time.sleep(min(_TICK_SECONDS, 1 / sending.rate))


def _key(value: bytes, field: str) -> bytes | None:
    if not field:
        return None
    try:
        found: Any = json.loads(value)
        for part in field.split("."):
            found = found[part]
    except (ValueError, KeyError, TypeError, IndexError):
        shown = value[:60].decode("utf-8", "backslashreplace")
        raise ConfigError(f"a message has no field '{field}' for its key: {shown}") from None
    return str(found).encode() if isinstance(found, str | int | float) else orjson.dumps(found)
