"""Answers a scrape: everything is read once, within a few seconds, whatever hangs."""

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from prometheus_client.core import InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from ingestion.declare.file import load_streams
from ingestion.declare.stream import Stream
from ingestion.errors import MillraceError
from ingestion.settings import Settings
from orchestration.conditions.journal import open_conditions
from orchestration.metrics.families import model_families, stream_families, system_families
from orchestration.metrics.ledger import LedgerFigures
from orchestration.metrics.machine import machine_families
from orchestration.reactions.counts import reaction_counts
from orchestration.records.overview import Overview, OverviewReader
from orchestration.records.part import Part
from orchestration.records.system_state import read_system_state, streams_in_use

_BROKER_SECONDS = 2.0
_WITHIN_SECONDS = 4.0  # Prometheus gives up after ten
_SHARED_SECONDS = 1.0


class Exporter(Collector):
    """A registry's collector. Scrapes may come on any thread: one reads, those that come meanwhile share it.

    Args:
        settings: Of the running system.
        version: Of Millrace.
    """

    def __init__(self, settings: Settings, *, version: str) -> None:
        self._settings, self._version = settings, version
        self._lock = threading.Lock()
        self._metrics: tuple[Metric, ...] = ()
        self._read_s = float("-inf")
        self._streams: Sequence[Stream] = ()
        self._reader: OverviewReader | None = None
        self._ledger = LedgerFigures()
        self._looking: Part[None] | None = None

    def collect(self) -> Iterator[Metric]:
        """All families, read now or by a scrape a moment ago."""
        with self._lock:
            if time.monotonic() - self._read_s >= _SHARED_SECONDS:
                self._metrics = tuple(self._read())
                self._read_s = time.monotonic()
        yield from self._metrics

    def describe(self) -> Iterator[Metric]:
        """Nothing: the registry is not to scrape before it is asked."""
        return iter(())

    def _read(self) -> Iterator[Metric]:
        overview = self._overview()
        yield InfoMetricFamily("millrace_build", "The release.", {"version": self._version})
        yield from system_families(overview)
        yield from machine_families(overview.services, self._folders())
        if "lake" not in overview.silent:
            yield from stream_families(overview)
            yield from self._ledger.families()
        if "dagster" not in overview.silent:
            yield from model_families(overview)

    def _overview(self) -> Overview:
        reader = self._current_reader()
        if reader is None:  # an earlier question has no answer yet
            return self._without_databases()
        until = time.monotonic() + _WITHIN_SECONDS
        overview = reader.read(within_seconds=_WITHIN_SECONDS)
        if not reader.hangs and "lake" not in overview.silent:
            self._looking = Part(lambda: self._ledger.look(reader.lake))
            try:
                self._looking.result(until + 1, what="the ledger")
            except MillraceError:
                return _silenced(overview)
        return overview

    def _current_reader(self) -> OverviewReader | None:
        """The reader of the streams that are in use; None while a question to it has no answer."""
        if self._reader is not None and (self._reader.hangs or (self._looking and self._looking.is_asked)):
            return None
        try:
            streams = load_streams(
                streams_in_use(self._settings.data_dir),
                project=self._settings.project,
                settings=self._settings,
            )
        except MillraceError:
            streams = tuple(self._streams)  # it is just being replaced
        if self._reader is None or streams != self._streams:
            if self._reader is not None:
                self._reader.close()
            self._streams = streams
            self._reader = OverviewReader(self._settings, streams, broker_seconds=_BROKER_SECONDS)
        return self._reader

    def _without_databases(self) -> Overview:
        data_dir = self._settings.data_dir
        state = read_system_state(data_dir)
        return Overview(
            data_dir=str(data_dir),
            running=state is not None,
            demo=False,
            ui_url="",
            conditions=tuple(open_conditions(data_dir)),
            services=state.services if state else (),
            silent=("lake", "dagster"),
            reactions=reaction_counts(self._settings),
        )

    def _folders(self) -> dict[str, Path]:
        lake = self._settings.resolved_lake_path
        folders = {"data": self._settings.data_dir}
        return folders if "://" in lake else {**folders, "lake": Path(lake)}


def _silenced(overview: Overview) -> Overview:
    return replace(overview, streams=(), silent=(*overview.silent, "lake"))
