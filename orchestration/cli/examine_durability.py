"""What the promise rests on and is worth here, for `millrace doctor`: what each broker keeps, against lag.

What PostgreSQL adds is in examine_catalog.py. Each kind of broker says its own (connectors/durability.py).
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from datetime import datetime
from typing import Literal

from ingestion.collect.status import state_folder
from ingestion.connectors.durability import DurableConnector, Reading, span
from ingestion.connectors.guard import boundary
from ingestion.connectors.port import CollectingConnector, Finding
from ingestion.connectors.registry import connectors
from ingestion.connectors.secrets import secrets_of
from ingestion.declare.logs import open_log
from ingestion.declare.stream import Stream
from ingestion.errors import MillraceError
from ingestion.lake.lake import Lake
from ingestion.settings import Settings
from ingestion.upkeep.space import measure, read_samples, seconds_until_full
from ingestion.watch.reading import how_far
from orchestration.cli.examine_sources import BROKER_SECONDS, open_lake

_SOON_SECONDS, _NOTED_SECONDS = 3 * 86_400.0, 14 * 86_400.0
_FORESEEN_SECONDS = 2 * 365 * 86_400.0


def brokers(settings: Settings, streams: Sequence[Stream], *, now: datetime) -> Iterator[Finding]:
    """What each kind of broker that is in use keeps, and what it may lose.

    Args:
        settings: Addresses and credentials.
        streams: The declared streams.
        now: UTC.
    """
    with ExitStack() as stack:
        lake = open_lake(settings, stack)
        for connector in connectors():
            declared = [stream for stream in streams if stream.kind == connector.kind]
            if declared and isinstance(connector, DurableConnector):
                yield from _of_kind(settings, connector, declared, lake, now)


def space(settings: Settings, *, now: datetime) -> Iterator[Finding]:
    """When the disks will be full, at the pace that upkeep has seen.

    Args:
        settings: Names the folders.
        now: UTC.
    """
    present = measure(settings, at=now.timestamp())
    samples = [*read_samples(settings), present]
    for folder, free in present.free.items():
        seconds = seconds_until_full(samples, folder)
        left = f"the disk of {folder} has {free / 2**30:.1f} GiB left"
        if seconds is None:
            yield Finding("space", "ok", f"{left}; how fast it fills is known after an hour of upkeep")
        elif seconds > _FORESEEN_SECONDS:
            yield Finding("space", "ok", f"{left}, for years at the pace of the last day")
        else:
            foreseen = f"{left}, and at the pace of the last day it is full in {span(seconds)}"
            state: Literal["problem", "note", "ok"] = "ok"
            if seconds < _NOTED_SECONDS:
                state = "problem" if seconds < _SOON_SECONDS else "note"
                foreseen += ": make room, or keep less (docs/operations.md, Upkeep)"
            yield Finding("space", state, foreseen)


def _of_kind(
    settings: Settings,
    connector: DurableConnector,
    streams: Sequence[Stream],
    lake: Lake | None,
    now: datetime,
) -> Iterator[Finding]:
    readings = [_reading(settings, stream, lake, now) for stream in streams]
    state = settings.data_dir
    if isinstance(connector, CollectingConnector):
        state = state_folder(settings.data_dir, connector)
    try:
        access = settings.access(connector.kind, connector.access)
        with boundary("", kind=connector.kind, secrets=lambda: secrets_of(access)):
            found = list(
                connector.durability(
                    readings, access, state=state, now=now, timeout_seconds=BROKER_SECONDS
                )
            )  # fmt: skip
    except MillraceError as error:  # whether it should answer is examined elsewhere
        why = f"what it keeps could not be asked: {error}"
        found = [Finding(f"{connector.kind} durability", "note", why)]
    yield from found


def _reading(settings: Settings, stream: Stream, lake: Lake | None, now: datetime) -> Reading:
    """How far a stream is; nothing of one whose log does not answer, which is examined elsewhere."""
    try:
        with closing(open_log(stream, settings, timeout_seconds=BROKER_SECONDS)) as log:
            return how_far(lake, stream, log, now=now)
    except MillraceError:
        return Reading(stream.name, stream.source)
