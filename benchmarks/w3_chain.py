"""W3: freshness, reaction, idle CPU and memory of the whole system on the demo's models and contracts.

`python -m benchmarks.w3_chain --for 120 --rate 1000`: `millrace up` with its web UI on Apache Kafka and
Mosquitto; half the events come over each. A process that knows the lake only says when they are visible.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.report import Row, at_most, emit
from benchmarks.system import ORDERS, TELEMETRY, Brokers, Running, brokers, millrace_up
from benchmarks.tree import Peak, cpu_seconds
from benchmarks.viewers import looking
from ingestion.errors import MillraceError
from ingestion.lake.lake import Lake
from ingestion.settings import Settings
from orchestration.records.reader import DagsterRecords
from tests.repository import REPOSITORY

_COUNTS = {
    ORDERS: "select coalesce(sum(events), 0) from marts.order_progress",
    TELEMETRY: "select coalesce(sum(readings), 0) from marts.machine_minute",
}
_LEADING_MART = {ORDERS: "marts/order_progress", TELEMETRY: "marts/machine_status"}


def send(
    servers: Brokers, *, rate: float, seconds: float, burst: float = 1.0, **only: bool
) -> dict[str, int]:
    """Run the sender; returns stream → acknowledged events."""
    argv = [sys.executable, "-m", "benchmarks.sender", "--rate", str(rate), "--seconds", str(seconds)]
    argv += ["--burst", str(burst)]
    if only.get("kafka", True):
        argv += ["--kafka", servers.kafka.bootstrap_servers]
    if only.get("mqtt", True):
        argv += ["--mqtt-port", str(servers.mosquitto.port)]
    done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, timeout=seconds + 180)
    assert done.returncode == 0, done.stderr[-2000:]
    return {name: int(count) for name, count in json.loads(done.stdout).items()}


class Sights:
    """The watching process, and what it has printed so far."""

    def __init__(self, data_dir: Path, *places: str) -> None:
        self._file = data_dir / "sights.jsonl"
        with self._file.open("wb") as out, (data_dir / "watch.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.watch", str(data_dir), *places],
                cwd=REPOSITORY, stdout=out, stderr=log,
            )  # fmt: skip

    def all(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._file.read_text().splitlines()]

    def when(self, stream: str, place: str, batch: int) -> float | None:
        """Seconds since 1970 at which this batch or a later one was first seen there."""
        for sight in self.all():
            if sight["stream"] == stream and sight["place"] == place and sight["batch"] >= batch:
                return float(sight["at"])
        return None

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)


@contextmanager
def watching(running: Running, *places: str) -> Iterator[Sights]:
    """A reader beside the running system; of some places only, where they are named."""
    sights = Sights(running.data_dir, *places)
    try:
        yield sights
    finally:
        sights.stop()


class Reader:
    """Questions of the harness itself, apart from the watching process."""

    def __init__(self, settings: Settings) -> None:
        self.lake = Lake(settings, read_only=True)

    def in_marts(self, stream: str) -> int:
        """Events that the marts count; 0 before they are built."""
        try:
            return int(self.lake.query(_COUNTS[stream])[0][0])
        except duckdb.CatalogException:
            return 0
        except (MillraceError, duckdb.Error):
            self.lake.close()
            return -1  # away just now


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest-rank percentile."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def wait_for(condition: Callable[[], bool], *, seconds: float) -> bool:
    """Ask once a second, for every question takes CPU from the system; whether it came true in time."""
    deadline = time.monotonic() + seconds
    while not (true := condition()) and time.monotonic() < deadline:
        time.sleep(1.0)
    return true


def single_events(
    servers: Brokers, reader: Reader, sights: Sights, *, count: int, sent: Counter[str]
) -> list[float]:
    """Seconds from one event on an idle system until the watching process sees it in its mart.

    Args:
        servers: Where to send.
        reader: Asks for the event's own time.
        sights: What the watching process saw.
        count: How many, over the two brokers in turn.
        sent: Stream → acknowledged events; counted on.
    """
    ages = []
    for number in range(count):
        stream, only = (ORDERS, {"mqtt": False}) if number % 2 == 0 else (TELEMETRY, {"kafka": False})
        newest = f"select max(batch_id) from raw.batches where stream = '{stream}'"
        before = int(reader.lake.query(newest)[0][0])
        sent.update(send(servers, rate=2.0, seconds=0.4, **only))
        deadline = time.monotonic() + 120
        while (seen := sights.when(stream, "mart", before + 1)) is None and time.monotonic() < deadline:
            time.sleep(0.2)
        produced = float(reader.lake.query(f"select epoch(max(event_at)) from staging.stg_{stream}")[0][0])
        ages.append((seen or time.time()) - produced)
        time.sleep(12.0 + 0.37 * number)  # behind the time for which a run waits for further events
    return ages


def freshness(lake: Lake, sights: Sights, *, since: float) -> dict[str, list[float]]:
    """Stream → age of every event produced since a moment, when its batch was first seen in its mart."""
    ages: dict[str, list[float]] = {}
    for stream in _COUNTS:
        rows = lake.query(
            f"select batch_id, list(epoch(event_at)) from staging.stg_{stream} "
            "where epoch(event_at) >= ? group by batch_id",
            [since],
        )
        for batch, produced in rows:
            seen = sights.when(stream, "mart", int(batch))
            if seen is not None:
                ages.setdefault(stream, []).extend(seen - at for at in produced)
    return ages


def hops(running: Running, lake: Lake, sights: Sights, *, since: float) -> dict[str, float]:
    """Medians in seconds of where an event's time goes, over the batches since a moment."""
    records = DagsterRecords(running.settings())
    checked: dict[str, list[float]] = {}
    for check in records.checks_since(datetime.fromtimestamp(since, UTC)):
        checked.setdefault(check.asset, []).append(check.checked_at.timestamp())
    runs = sorted(run.started_at.timestamp() for run in records.runs(limit=10_000) if run.started_at)
    records.close()
    spans: dict[str, list[float]] = {}
    rows = lake.query(
        "select stream, batch_id, epoch(min(started_at)), epoch(max(ingested_at)), "
        "(epoch(min(first_event_time)) + epoch(max(last_event_time))) / 2 from raw.batches "
        "where events_landed > 0 group by all having epoch(min(started_at)) >= ?",
        [since],
    )
    for stream, batch, planned, decoded, produced in rows:
        places = [sights.when(stream, place, int(batch)) for place in ("raw", "staging", "mart")]
        if any(at is None for at in places):
            continue
        raw, staging, mart = (float(at) for at in places if at is not None)
        run = max((at for at in runs if at <= planned), default=planned)
        after = [at for at in checked.get(_LEADING_MART[stream], []) if at >= staging]
        for name, span in (
            ("produced → batch begins", planned - produced),
            ("of it since the run's start", min(planned - run, planned - produced)),
            ("fetched and decoded", decoded - planned),
            ("→ committed, seen in raw", raw - decoded),
            ("→ seen in staging", staging - raw),
            ("→ seen in the mart", mart - staging),
            *([("→ mart checked", min(after) - mart)] if after else []),
        ):
            spans.setdefault(name, []).append(span)
    return {name: statistics.median(values) for name, values in spans.items()}


def measure(
    folder: Path,
    *,
    seconds: float,
    rate: float,
    idle_s: float,
    singles: int,
    settings: dict[str, str],
    viewers: int,
) -> list[Row]:
    """All figures of one system's life: warm up, idle, single events, load."""
    with brokers(folder) as servers, millrace_up(folder / "data", servers.settings() | settings) as running:
        reader = Reader(running.settings())
        sent = Counter(send(servers, rate=20, seconds=2))
        came = wait_for(
            lambda: all(reader.in_marts(name) == count for name, count in sent.items()), seconds=180
        )
        assert came, "the first events did not reach the marts"
        time.sleep(25.0)  # until the run that waits for further events has ended
        before, started = cpu_seconds(running.roots()), time.monotonic()
        time.sleep(idle_s)
        idle = (cpu_seconds(running.roots()) - before) / (time.monotonic() - started)
        with looking(running, viewers), watching(running) as sights:
            reactions = single_events(servers, reader, sights, count=singles, sent=sent)
            peak, began = Peak(running.roots), time.time()
            before = cpu_seconds(running.roots())
            loaded = send(servers, rate=rate, seconds=seconds)
            sent.update(loaded)
            complete = wait_for(
                lambda: all(reader.in_marts(name) == count for name, count in sent.items()), seconds=180
            )
            there = ", ".join(
                f"{name}: {count} sent, {reader.in_marts(name)}" for name, count in sent.items()
            )
            used = cpu_seconds(running.roots()) - before
            time.sleep(3.0)
            memory = peak.stop()
            since = began + min(20.0, seconds / 4)
            ages = freshness(reader.lake, sights, since=since)
            path = hops(running, reader.lake, sights, since=since)
        reader.lake.close()
    every = [age for values in ages.values() for age in values]
    by_size = sorted(peak.largest.items(), key=lambda each: -each[1])
    split = ", ".join(f"{name.rpartition('.')[2]} {mib:.0f}" for name, mib in by_size)
    slowest = max(path, key=lambda hop: path[hop], default="")
    where = ", ".join(f"{hop} {span:.2f} s" for hop, span in path.items())
    what = f"freshness at {rate:g} events/s"
    rows = [
        at_most("W3", f"{what}, p50", percentile(every, 0.5), 3, unit="s", note=f"slowest hop: {slowest}"),
        at_most("W3", f"{what}, p95", percentile(every, 0.95), 5, unit="s"),
        Row("W3", f"{what}, p99", f"{percentile(every, 0.99):.3g} s"),
        *(
            Row(
                "W3", f"freshness of {name}, p50 / p95",
                f"{percentile(values, 0.5):.3g} / {percentile(values, 0.95):.3g} s",
            )
            for name, values in sorted(ages.items())
        ),
        Row("W3", "hops, medians", where),
        Row("W3", "each event in the marts, once", "yes" if complete else "NO", "yes", complete, there),
        at_most(
            "W3", "one event on an idle system, median", statistics.median(reactions), 3, unit="s",
            note=f"of {singles}; slowest {max(reactions):.2f} s",
        ),
        at_most("W3", "idle CPU", 100 * idle, 5, unit="% of a core"),
        at_most("W3", "memory (PSS of the tree), peak", memory / 1024, 1.6, unit="GiB", note=split),
        Row("W3", "CPU under load", f"{used / sum(loaded.values()) * 1e6:,.0f} s per million events"),
    ]  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--for", dest="seconds", type=float, default=120.0, help="seconds of load")
    parser.add_argument("--rate", type=float, default=1000.0, help="events a second, both brokers together")
    parser.add_argument("--idle", type=float, default=30.0, help="seconds over which idle CPU is measured")
    parser.add_argument("--singles", type=int, default=6, help="single events on the idle system")
    parser.add_argument("--keep", type=Path, help="folder to keep; else a temporary one")
    parser.add_argument("--viewers", type=int, default=1, help="who look at the live page")
    parser.add_argument("--set", action="append", default=[], help="a setting, as in serving=off")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as temporary:
        folder = options.keep or Path(temporary)
        emit(
            measure(
                folder, seconds=options.seconds, rate=options.rate, idle_s=options.idle,
                singles=options.singles, settings=dict(each.split("=", 1) for each in options.set),
                viewers=options.viewers,
            )
        )  # fmt: skip


if __name__ == "__main__":
    main()
