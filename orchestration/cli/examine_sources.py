"""What `millrace doctor` finds out about sources: logs against the lake, spools, brokers."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from ingestion.collect.members import members_with_state
from ingestion.collect.status import read_status
from ingestion.connectors.guard import boundary
from ingestion.connectors.port import CollectingConnector, Connector, Finding
from ingestion.connectors.registry import connectors, is_collected, require_libraries
from ingestion.connectors.secrets import secrets_of
from ingestion.data_folder import system_is_running
from ingestion.declare.stream import Stream
from ingestion.errors import MillraceError
from ingestion.lake.lake import Lake
from ingestion.settings import Settings
from ingestion.spool.unrouted import count_open, is_unrouted

BROKER_SECONDS = 5.0


def sources(settings: Settings, streams: Sequence[Stream]) -> Iterator[Finding]:
    """Each stream's log: does it answer, and does it continue what the lake holds of it?"""
    with ExitStack() as stack:
        lake = open_lake(settings, stack)
        for stream in streams:
            yield from _log(settings, stream, lake)
        yield from _strange_spools(settings, streams, lake)


def open_lake(settings: Settings, stack: ExitStack) -> Lake | None:
    """The lake where one can be opened; another examination says why it cannot."""
    if settings.catalog is None:
        return None
    try:
        lake = stack.enter_context(Lake(settings, read_only=True))
        lake.snapshot_id()
    except MillraceError:
        return None
    return lake


def _log(settings: Settings, stream: Stream, lake: Lake | None) -> Iterator[Finding]:
    from ingestion.declare.logs import open_log
    from ingestion.watch.against_log import compare_with_log

    part = f"{stream.kind} log"
    with closing(open_log(stream, settings, timeout_seconds=BROKER_SECONDS)) as log:
        try:
            bounds = log.bounds()
            found = compare_with_log(lake, stream, log=log) if lake else None
        except MillraceError as error:
            yield Finding(part, "problem", str(error))
            return
    for defect in found.defects if found else ():
        yield Finding(part, "problem", defect)
    for warning in found.warnings if found else ():
        yield Finding(part, "note", f"stream '{stream.name}': {warning}")
    for sentence in found.unproven if found else ():
        yield Finding(part, "note", f"stream '{stream.name}': {sentence} (docs/delivery.md)")
    if found and found.defects:
        return
    if not bounds:
        yield Finding(part, "note", f"stream '{stream.name}': nothing collected yet")
        return
    held = sum(bound.end - bound.begin for bound in bounds.values())
    yield Finding(
        part, "ok", f"stream '{stream.name}': {len(bounds)} partition(s), {held:,} position(s) held"
    )


def _strange_spools(settings: Settings, streams: Sequence[Stream], lake: Lake | None) -> Iterator[Finding]:
    """Spools that no declared stream reads: what is in them was acknowledged to its senders."""
    from ingestion.lake.ledger import read_state
    from ingestion.spool.log import SpoolLog, parse_spool_name

    spool, part = settings.data_dir / "spool", "spool"
    declared = {stream.name for stream in streams if is_collected(stream.source)}
    for folder in sorted(spool.iterdir()) if spool.is_dir() else ():
        stream, number = parse_spool_name(folder.name)
        if not folder.is_dir() or stream in declared:
            continue
        if is_unrouted(folder.name):
            yield from _unrouted(folder)
            continue
        with closing(SpoolLog.of_collector(stream, spool, number)) as log:
            bounds = log.bounds().get(log.partition)
        if bounds is None:
            continue
        if lake is None:
            yield Finding(
                part, "note",
                f"{folder} belongs to no declared stream; start millrace to hear what of it is in the lake",
            )  # fmt: skip
            continue
        position = read_state(lake, stream).positions.get(log.partition)
        ours = position.next if position and position.log_id == bounds.log_id else bounds.begin
        if ours < bounds.end:
            yield Finding(
                part, "problem",
                f"{folder} holds {bounds.end - ours:,} events that were acknowledged and that no stream "
                f"brings into the lake: declare '{stream}' again, or delete the folder to drop them",
            )  # fmt: skip
        else:
            yield Finding(
                part, "note", f"{folder} belongs to no declared stream, and all of it is in the lake"
            )


def _unrouted(folder: Path) -> Iterator[Finding]:
    """What no stream took."""
    if count := count_open(folder):
        yield Finding(
            "spool", "problem",
            f"{folder} keeps {count:,} messages that no stream takes: 'millrace unrouted list' shows their "
            "topics, 'unrouted give' gives them to a stream",
        )  # fmt: skip


def brokers(settings: Settings, streams: Sequence[Stream]) -> Iterator[Finding]:
    """Whether the brokers of the declared streams answer, and what their collectors report."""
    declared = {stream.kind for stream in streams}
    for connector in connectors():
        if connector.kind in declared:
            yield from _broker(settings, connector)


def _broker(settings: Settings, connector: Connector) -> Iterator[Finding]:
    try:
        require_libraries(connector.kind, connector.libraries, extra=connector.extra)
        access = settings.access(connector.kind, connector.access)
        with boundary("", kind=connector.kind, secrets=lambda: secrets_of(access)):
            found = list(connector.examine(access, timeout_seconds=BROKER_SECONDS))
    except MillraceError as error:
        yield Finding(f"{connector.kind} broker", "problem", str(error))
        return
    for finding in found:
        complaint = _error_of_collector(settings, connector)
        # Only the collector knows whether the broker accepts the login.
        yield Finding(finding.part, "problem", complaint) if finding.state == "ok" and complaint else finding


def _error_of_collector(settings: Settings, connector: Connector) -> str:
    if not isinstance(connector, CollectingConnector) or not system_is_running(settings.data_dir):
        return ""
    statuses = [
        read_status(settings.data_dir, *member)
        for member in members_with_state(settings.data_dir)
        if member.connector.kind == connector.kind
    ]
    return next((str(status["error"]) for status in statuses if status.get("error")), "")
