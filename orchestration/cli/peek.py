"""`millrace peek`: messages of a source or a stream as they are, and what the lake made of them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import PydanticCustomError, PydanticKnownError
from rich.text import Text

from ingestion.connectors.messages import Look
from ingestion.connectors.registry import is_collected
from ingestion.declare.logs import open_log
from ingestion.declare.sources import is_source, messages_of, read_messages, read_source
from ingestion.declare.sources import peek as peek_at
from ingestion.declare.stream import Stream, suggest
from ingestion.errors import ConfigError, MillraceError
from ingestion.formats.registry import FormatChoice, choose_format, formats
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import read_state
from ingestion.log.newest import look_at
from ingestion.log.port import Start
from ingestion.settings import Settings
from ingestion.watch.fates import Fate, fates
from orchestration.cli.context import Globals, complain, out
from orchestration.cli.ingest import choose
from orchestration.cli.messages import Row, printable, show
from orchestration.cli.reading import Reader
from orchestration.dbt.cut_times import cut_times


def peek(
    options_of_all: Globals, what: str, *, limit: int, since: str, wait_seconds: float,
    options: Sequence[str], format_name: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Show messages of a source or a stream.

    Args:
        options_of_all: The global options.
        what: kind:place, or a stream's name.
        limit: Messages at most.
        since: latest, earliest or a time.
        wait_seconds: How long to wait for a broker that keeps none.
        options: Of the source, as in qos=0.
        format_name: How payloads are decoded; None for what they look like, or the stream's.
        as_json: A line of JSON a message.

    Raises:
        MillraceError: There is no such source, the broker does not answer, or no message came.
    """
    settings = options_of_all.settings(needs_project=not is_source(what))
    start = read_start(since)
    look = Look(limit, start, wait_seconds, settings.source_timeout_seconds)
    if is_source(what):
        source = read_source(what, read_pairs(options))
        chosen = known_format(format_name) if format_name else None
        reader = Reader(chosen, settings)
        rows = ((reader.read(message), None) for message in peek_at(source, settings, look))
        nothing = f"{source.origin} holds no message from {since} on; --from earliest shows all that there is"
        if is_collected(source):
            waited = f"no message of {source.origin} came within {wait_seconds:g} s"
            nothing = f"{waited}; is anything sent there? --for waits longer"
        show(rows, origin=source.origin, nothing=nothing, as_json=as_json)
        if reader.sentence and not as_json:
            out.print(Text(f"format: {printable(reader.sentence)}", style="dim"))
        return
    if options or format_name:
        raise ConfigError(f"stream '{what}' has its options and format in streams.yml: leave them out here")
    (stream,) = choose(options_of_all.streams(settings), [what], settings=settings)
    where = f"stream '{what}' holds no events of {stream.source.origin} from {since} on"
    if is_collected(stream.source):
        place = f"{stream.kind}:{getattr(stream.source, stream.kind)}"
        where = (
            f"the collector has stored no events of stream '{what}' from {since} on; "
            f"'millrace peek \"{place}\"' shows what is sent next"
        )
    show(look_at_stream(stream, settings, look), origin=stream.source.origin, nothing=where, as_json=as_json)


def known_format(text: str) -> FormatChoice:
    """A format as `--format` names it: a word, or as streams.yml writes it.

    Raises:
        ConfigError: There is no such format, or no such option of it.
    """
    try:
        declared = yaml.safe_load(text)
        if isinstance(declared, str) and declared not in formats():
            raise ConfigError(f"'{declared}' is not a format{suggest(declared, formats())}")
        return choose_format(declared)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        option = ".".join(map(str, problem["loc"]))
        raise ConfigError(f"--format {text}: {option}: {problem['msg']}") from None
    except (PydanticCustomError, PydanticKnownError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"--format {text}: {error}") from None


def read_pairs(pairs: Iterable[str]) -> dict[str, Any]:
    """Options of a source or headers, as in qos=0; values are YAML.

    Raises:
        ConfigError: One has no `=`.
    """
    options = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(f"'{pair}' is not an option; write its name and its value, as in start=latest")
        options[name] = yaml.safe_load(value)
    return options


def read_start(text: str) -> Start:
    """Where to look: latest, earliest or an ISO time.

    Raises:
        ConfigError: It is none of these.
    """
    if text == "latest" or text == "earliest":
        return text  # type: ignore[return-value]
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"'{text}' is neither earliest, latest nor a time, as in 2026-03-01T06:30"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def look_at_stream(
    stream: Stream, settings: Settings, look: Look, *, lake: Lake | None = None
) -> Iterator[Row]:
    """Events that the lake has read of a stream's log, each with what became of it; without a lake, any.

    Args:
        stream: The stream.
        settings: Where everything is.
        look: How much.
        lake: An open one, which stays open; None for one of its own.
    """
    log, own = open_log(stream, settings), None
    if lake is None:
        lake = own = Lake(settings, read_only=True)
    try:
        ends = _positions(lake, stream)
        messages = messages_of(look_at(log, limit=look.limit, start=look.start, ends=ends))
        places = [(message.partition, message.position or 0) for message in messages]
        found = _found(lake, stream, places) if ends is not None else {}
    finally:
        log.close()
        if own is not None:
            own.close()
    read = read_messages(messages, stream, max_bytes=settings.payload_max_bytes, settings=settings)
    for seen, (partition, position) in zip(read, places, strict=True):
        yield seen, found.get(f"{partition}@{position}")


def _found(lake: Lake, stream: Stream, places: Sequence[tuple[str, int]]) -> dict[str, Fate]:
    """Event id → what became of it, with the times that staging cut."""
    found = fates(lake, stream, places)
    staged = [event_id for event_id, fate in found.items() if fate.staged is not None]
    cut = cut_times(lake, stream, staged)
    return {event_id: replace(fate, cut=cut.get(event_id, {})) for event_id, fate in found.items()}


def _positions(lake: Lake, stream: Stream) -> dict[str, int] | None:
    """Partition → how far the lake has read; empty before the first batch, None without a lake."""
    try:
        if ("raw", stream.name) not in lake.tables():
            return {}
        return {name: at.next for name, at in read_state(lake, stream.name).positions.items()}
    except MillraceError as error:
        complain(f"what the lake made of them is not shown: {error}")
        return None
