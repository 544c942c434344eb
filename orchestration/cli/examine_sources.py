"""What `millrace doctor` finds out about sources: logs against the lake, strange spools, the MQTT broker."""

import json
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from ingestion.declare.stream import Stream
from ingestion.errors import MillraceError
from ingestion.lake.lake import Lake
from ingestion.settings import Settings, system_is_running
from orchestration.cli.examinations import Finding

_BROKER_SECONDS = 5.0


def sources(settings: Settings, streams: Sequence[Stream]) -> Iterator[Finding]:
    """Each stream's log: does it answer, and does it continue what the lake holds of it?"""
    with ExitStack() as stack:
        lake = _lake(settings, stack)
        for stream in streams:
            yield from _log(settings, stream, lake)
        yield from _strange_spools(settings, streams, lake)


def _lake(settings: Settings, stack: ExitStack) -> Lake | None:
    """The lake where one can be opened; why it cannot is said elsewhere."""
    if settings.catalog is None:
        return None
    try:
        lake = stack.enter_context(Lake(settings, read_only=True))
        lake.snapshot_id()
    except MillraceError:
        return None
    return lake


def _log(settings: Settings, stream: Stream, lake: Lake | None) -> Iterator[Finding]:
    from ingestion.connectors.factory import open_log
    from ingestion.watch.against_log import compare_with_log

    part = f"{stream.kind} log"
    with closing(open_log(stream, settings, timeout_seconds=_BROKER_SECONDS)) as log:
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
    from ingestion.spool.log import MqttLog

    spool = settings.data_dir / "spool"
    declared = {stream.name for stream in streams if stream.kind == "mqtt"}
    for folder in sorted(spool.iterdir()) if spool.is_dir() else ():
        if not folder.is_dir() or folder.name in declared:
            continue
        with closing(MqttLog(folder.name, spool)) as log:
            held = log.bounds().get(log.partition)
        if held is None:
            continue
        if lake is None:
            yield Finding(
                "mqtt log", "note",
                f"{folder} belongs to no declared stream; start millrace to hear what of it is in the lake",
            )  # fmt: skip
            continue
        position = read_state(lake, folder.name).positions.get(log.partition)
        ours = position.next if position and position.log_id == held.log_id else held.begin
        if ours < held.end:
            yield Finding(
                "mqtt log", "problem",
                f"{folder} holds {held.end - ours:,} events that were acknowledged and that no stream "
                f"brings into the lake: declare '{folder.name}' again, or delete the folder to drop them",
            )  # fmt: skip
        else:
            yield Finding(
                "mqtt log", "note", f"{folder} belongs to no declared stream, and all of it is in the lake"
            )


def mqtt_broker(settings: Settings, streams: Sequence[Stream]) -> Iterator[Finding]:
    """Whether the MQTT broker answers."""
    if not any(stream.kind == "mqtt" for stream in streams):
        return
    if not settings.mqtt_host:
        yield Finding(
            "mqtt broker", "problem",
            "MQTT streams are declared but no broker is: set MILLRACE_MQTT_HOST, or remove the streams",
        )  # fmt: skip
        return
    address = f"{settings.mqtt_host}:{settings.mqtt_port}"
    try:
        socket.create_connection((settings.mqtt_host, settings.mqtt_port), timeout=_BROKER_SECONDS).close()
    except OSError as error:
        yield Finding(
            "mqtt broker", "problem",
            f"the MQTT broker at {address} does not answer ({error.strerror or error}): is it running, are "
            "MILLRACE_MQTT_HOST and MILLRACE_MQTT_PORT right?",
        )  # fmt: skip
        return
    yield from _collector(settings, address)


def _collector(settings: Settings, address: str) -> Iterator[Finding]:
    """What the collector says; only it knows whether the broker takes our name and password."""
    from ingestion.collect.collector import status_file

    told: dict[str, object] = {}
    path: Path = status_file(settings.data_dir)
    if path.exists():
        told = json.loads(path.read_text(encoding="utf-8"))
    if system_is_running(settings.data_dir) and told.get("error"):
        yield Finding("mqtt broker", "problem", str(told["error"]))
    else:
        yield Finding("mqtt broker", "ok", f"{address} accepts connections")
