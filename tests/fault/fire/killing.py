"""Kills collector, batch run, broker and catalog while events are sent, at moments that dice draw."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from random import Random
from typing import Any

from ingestion.collect.status import read_status
from ingestion.connectors.registry import collecting_connectors
from ingestion.settings import Settings
from orchestration.services.postgres import EmbeddedPostgres
from tests.fault.fire.source import Source
from tests.fault.orders import Worker
from tests.fault.worker import EXIT_DONE, EXIT_REFUSED
from tests.repository import REPOSITORY
from tests.waiting import eventually

COLLECTOR_PLACES = ("intake.commit", "spool.written", "spool.durable")
BATCH_PLACES = ("batch.polled", "loader.extracted", "loader.normalized", "loader.loaded", "loader.committed")
PATIENCE_SECONDS = 300.0
_ENOUGH_SECONDS = 60.0
_ARMED = """
import os, signal, sys
from ingestion import faultpoints
from ingestion.collect.__main__ import main
def hook(place):
    if place == sys.argv[2] and os.path.exists(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
faultpoints.install_hook(hook)
sys.exit(main([sys.argv[1]]))
"""
"""A collector that kills itself when it comes to its place and a file is there."""


class Collector:
    """A collector's process, killed and started again.

    Args:
        kind: Of source.
        settings: Where the lake is; streams.yml is in its data folder.
        source: How the broker is reached.
        dice: Draw where it dies.
    """

    def __init__(self, kind: str, settings: Settings, source: Mapping[str, Any], dice: Random) -> None:
        self._kind, self._dice = kind, dice
        self._log, self._die = settings.data_dir / "collector.out", settings.data_dir / "die"
        values = {"data_dir": settings.data_dir, "streams_file": settings.data_dir / "streams.yml", **source}
        self._environment = {f"MILLRACE_{name.upper()}": str(value) for name, value in values.items()}
        self._data_dir = settings.data_dir
        self.start()
        # Mosquitto keeps messages for sessions that it knows, and drops what nobody has asked for.
        eventually(self._listens, "the first collector listens", seconds=PATIENCE_SECONDS)

    def start(self) -> None:
        """Start it, with a place at which it would die."""
        self._place = self._dice.choice(COLLECTOR_PLACES)
        with self._log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _ARMED, self._kind, self._place, self._die], cwd=REPOSITORY,
                stdout=out, stderr=out, env=os.environ | self._environment,
            )  # fmt: skip

    def kill(self) -> str:
        """Kill it at its place or just now, and start the next one; where it was."""
        where = "any moment"
        if self._dice.random() < 0.7:
            self._die.touch()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(20)
                where = self._place
            self._die.unlink()
        self._process.kill()
        code = self._process.wait()
        assert code == -signal.SIGKILL, f"the collector has ended by itself ({code}): {self.said}"
        self.start()
        return where

    def stop(self) -> int:
        """End it politely; its exit code."""
        assert self._process.poll() is None, f"the collector has ended by itself: {self.said}"
        self._process.terminate()
        return self._process.wait(120)

    def end(self) -> None:
        """No process is left."""
        self._process.kill()
        self._process.wait()

    def _listens(self) -> bool:
        (kind,) = (each for each in collecting_connectors() if each.kind == self._kind)
        return bool(read_status(self._data_dir, kind).get("subscribed"))

    @property
    def said(self) -> str:
        """The end of what all of them have written."""
        return self._log.read_text(errors="replace")[-3000:] if self._log.exists() else ""


class Runs:
    """Ingests batch after batch, each run a child process; one that is to die does so in a batch.

    Attributes:
        ended: Exit code → how many runs.
    """

    def __init__(self, worker: Worker, order: Mapping[str, Any], dice: Random) -> None:
        self._worker, self._order, self._dice = worker, order, dice
        self.ended = Counter[int]()
        self._to_die, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._go)
        self._thread.start()

    def kill_one(self) -> None:
        """Let runs die until one has."""
        self._to_die.set()
        eventually(lambda: not self._to_die.is_set(), "a run has died", seconds=PATIENCE_SECONDS)

    def close(self) -> None:
        """End after the run under way."""
        self._stop.set()
        self._thread.join()

    def drain(self) -> int:
        """Ingest what there is, unharmed."""
        return self._worker.run(**self._order)

    def settle(self, heal: Callable[[], None]) -> None:
        """Ingest, unharmed, until a run is not refused: a broker that was killed may need a while.

        Args:
            heal: Done once, when all were refused for a minute.

        Raises:
            AssertionError: They are all refused, and why.
        """
        began, is_healed = time.monotonic(), False
        while self.drain() != 0:
            seconds = time.monotonic() - began
            assert seconds < PATIENCE_SECONDS, f"refused for {seconds:.0f} s: {self.refused}"
            if seconds > _ENOUGH_SECONDS and not is_healed:
                is_healed = True
                heal()

    @property
    def refused(self) -> str:
        """Why the last run was refused."""
        return self._worker.refused

    def _go(self) -> None:
        tries = 0
        while not self._stop.is_set():
            how: dict[str, Any] = {}
            if self._to_die.is_set():
                tries += 1
                how = self._death(at_once=tries > 3)
            code = self._worker.run(**self._order, **how)
            self.ended[code] += 1
            if how and code == -signal.SIGKILL:
                tries = 0
                self._to_die.clear()
            time.sleep(0.1)

    def _death(self, *, at_once: bool) -> dict[str, Any]:
        """A place or a moment; a run that finds nothing to ingest comes to no place."""
        if at_once:
            return {"kill_after_seconds": 0.01}
        if self._dice.random() < 0.6:
            return {"place": self._dice.choice(BATCH_PLACES), "passes": self._dice.randint(1, 2)}
        return {"kill_after_seconds": self._dice.uniform(0.05, 0.8)}


class Fire:
    """What is killed while stretch after stretch of events is sent.

    Args:
        source: What sends.
        collector: None for a log.
        runs: The batches.
        catalog: The lake's PostgreSQL, of this test alone.
        dice: Draw the order and the moments.

    Attributes:
        killed: What → how often.
    """

    def __init__(
        self, source: Source, collector: Collector | None, runs: Runs, catalog: EmbeddedPostgres, dice: Random
    ) -> None:
        self._source, self._collector, self._runs = source, collector, runs
        self._catalog, self._dice = catalog, dice
        self.killed = Counter[str]()

    def burn(self, events: int, *, rounds: int, seconds: float) -> None:
        """Send all events; in each round each part is killed once.

        Args:
            events: How many.
            rounds: How many rounds.
            seconds: A stretch of events is sent over so long at least, and its kill comes within it.
        """
        deck: list[Callable[[], None]] = []
        for _ in range(rounds):
            faults = [self._run, self._broker, self._postgres] + [self._collect] * bool(self._collector)
            self._dice.shuffle(faults)
            deck += faults
        borders = [events * number // (len(deck) + 1) for number in range(len(deck) + 2)]
        for number, fault in enumerate([*deck, None]):
            sender = threading.Thread(
                target=self._send, args=(range(borders[number], borders[number + 1]), seconds)
            )
            sender.start()
            time.sleep(self._dice.uniform(0, seconds))
            if fault is not None:
                fault()
            sender.join()
            print(f"\r{borders[number + 1]:,} sent, killed: {dict(self.killed)}", end="", flush=True)
        assert len(self._source.sent.confirmed) == events, "a sender has failed"

    def _send(self, numbers: range, seconds: float) -> None:
        slices = 8
        for part in range(slices):
            ends_at = time.monotonic() + seconds / slices
            mine = numbers[len(numbers) * part // slices : len(numbers) * (part + 1) // slices]
            if mine:
                self._source.send(mine)
            time.sleep(max(0.0, ends_at - time.monotonic()))

    def _run(self) -> None:
        before = self._runs.ended[-signal.SIGKILL]
        self._runs.kill_one()
        self.killed["run"] += self._runs.ended[-signal.SIGKILL] - before

    def _broker(self) -> None:
        if what := self._source.strike():
            self.killed[what] += 1

    def _postgres(self) -> None:
        pid = self._catalog.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        self._catalog.start()
        self.killed["catalog"] += 1

    def _collect(self) -> None:
        assert self._collector is not None
        self._collector.kill()
        self.killed["collector"] += 1


def unexplained(ended: Mapping[int, int], killed: Mapping[str, int]) -> list[str]:
    """Exit codes of runs that no kill explains. DuckDB aborts where its catalog's server is gone."""
    allowed = {EXIT_DONE, EXIT_REFUSED, -signal.SIGKILL}
    if killed["catalog"]:
        allowed.add(-signal.SIGABRT)
    return [f"{count} runs ended with {code}" for code, count in ended.items() if code not in allowed]
