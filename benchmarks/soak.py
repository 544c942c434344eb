"""The demo under load for minutes or hours, with readers, a modeller and upkeep: what grows, is it bounded?

`python -m benchmarks.soak --for 600` prints what it sees every minute, at the end a slope per measure, and
exits 1 if one is certainly above its bound, or if a reader, upkeep, the modeller's dbt or the demo's own
judgement fails. `--samples FILE` keeps every sample as a line of JSON. See docs/operations.md.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb
import psutil
import psycopg2
from rich.console import Console

from ingestion.errors import MillraceError
from ingestion.lake.lake import Lake
from ingestion.settings import Settings, load_settings
from orchestration.cli.tables import table
from orchestration.records.system_state import read_system_state
from tests.e2e.test_demo import MILLRACE, environment
from tests.e2e.test_together import DBT, marts_are_there
from tests.repository import REPOSITORY
from tests.waiting import eventually

SAMPLE_SECONDS = 10.0
TOLD_SECONDS = 60.0
UPKEEP_SECONDS = 90.0
READER_PAUSE_SECONDS = 5.0
_START_SECONDS = 180  # the demo counts from its own start, which takes long on a busy machine
WARM_SHARE = 0.25
"""This part of the time is left out: caches fill, and every process loads what it needs once."""

_DAGSTER = """
select
    (select count(*) from event_logs),
    pg_total_relation_size('event_logs') / 1048576.0
"""
# A run goes on while events come, so neither its number nor its length says how much was done: batches do.
_BATCHES = """
select
    (select count(distinct (stream, batch_id)) from raw.batches),
    (
        select median(epoch(ingested_at - first_event_time))
        from (select * from raw.batches where events_read > 0 order by ingested_at desc limit 20)
    )
"""


@dataclass(frozen=True)
class Sample:
    """The system at one moment; sizes in MiB, `batches` is the x axis of what retention bounds.

    `active_files` are those that the last upkeep left: between two of them they rise and fall.
    """

    hours: float
    batches: float
    handles: float
    wait_seconds: float
    active_files: float
    files_on_disk: float
    snapshots: float
    event_rows: float
    event_mib: float
    services: Mapping[str, float]  # MiB of each

    @property
    def memory(self) -> float:
        """MiB of all of them."""
        return sum(self.services.values())


@dataclass(frozen=True)
class Measure:
    """What is fitted, over what, and how steep it may be."""

    title: str
    y: str
    over: str
    bound: float


MEASURES = (
    Measure("memory of the services, MiB", "memory", "hours", 150),
    Measure("file handles of the services", "handles", "hours", 60),
    Measure("seconds from event to raw", "wait_seconds", "hours", 5),
    Measure("files that upkeep leaves", "active_files", "batches", 1),
    Measure("files on disk", "files_on_disk", "batches", 40),
    Measure("versions of the lake", "snapshots", "batches", 25),
    Measure("rows of Dagster's event log", "event_rows", "batches", 500),
    Measure("event log, MiB", "event_mib", "batches", 1),
)


def slope(xs: Sequence[float], ys: Sequence[float]) -> tuple[float, float]:
    """Least-squares slope and its standard error."""
    fit = statistics.linear_regression(xs, ys)
    spread = sum((x - statistics.fmean(xs)) ** 2 for x in xs)
    residual = sum((y - fit.intercept - fit.slope * x) ** 2 for x, y in zip(xs, ys, strict=True))
    return fit.slope, (residual / max(len(xs) - 2, 1) / spread) ** 0.5


def active_files(lake: Lake) -> float:
    """How many files the newest version of all tables is made of."""
    ((count,),) = lake.query("select sum(file_count) from ducklake_table_info('lake')")
    return float(count)


def sample(settings: Settings, lake: Lake, *, began: float, left: float) -> Sample:
    """Measure now; `left` is what upkeep left."""
    handles, memory = 0.0, dict[str, float]()
    state = read_system_state(settings.data_dir)
    assert state is not None
    for name, pid in [
        ("the command", state.pid),
        *((row.name, row.pid) for row in state.services if row.pid),
    ]:
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            memory[name] = process.memory_full_info().pss / 2**20
            handles += process.num_fds()
    ((snapshots,),) = lake.query("select count(*) from ducklake_snapshots('lake')")
    ((batches, wait),) = lake.query(_BATCHES)
    assert settings.dagster_catalog is not None
    url = settings.dagster_catalog.get_secret_value()
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(_DAGSTER)
        rows, mib = cursor.fetchone() or ()
    on_disk = sum(len(files) for _, _, files in os.walk(settings.resolved_lake_path))
    return Sample(
        (time.monotonic() - began) / 3600, float(batches), handles, float(wait), left,
        float(on_disk), float(snapshots), float(rows), float(mib), memory,
    )  # fmt: skip


def beside(argv: Sequence[str], env: dict[str, str], *, cwd: Path = REPOSITORY) -> subprocess.Popen[str]:
    """A process that works beside the system."""
    return subprocess.Popen(
        argv, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def soak(
    folder: Path, options: argparse.Namespace, took: Callable[[Sample], None]
) -> tuple[list[Sample], list[str]]:
    """Run it all; returns the samples, each of which was given to `took` at once, and what failed."""
    env, problems, samples = environment(folder), [], []
    demo_seconds = options.seconds + _START_SECONDS
    log = (folder.parent / "demo.log").open("w+")
    demo = subprocess.Popen(
        [
            *MILLRACE, "--data-dir", folder, "demo", "--for", str(demo_seconds),
            "--rate", str(options.rate), "--no-ui",
        ],
        cwd=REPOSITORY, env=env, stdout=log, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        eventually(lambda: marts_are_there(folder), "the marts have rows", seconds=_START_SECONDS)
        os.environ["MILLRACE_ENV_FILE"] = env["MILLRACE_ENV_FILE"]
        settings = load_settings(data_dir=folder)
        reader = [sys.executable, "-m", "tests.e2e.reader", str(folder), str(options.seconds)]
        readers = [beside([*reader, str(READER_PAUSE_SECONDS)], env) for _ in range(options.readers)]
        tasks: list[tuple[str, Callable[[], subprocess.Popen[str]]]] = [
            ("upkeep", lambda: beside([*MILLRACE, "maintain"], env)),
            (
                "dbt",
                lambda: beside([DBT, "build"], env | {"USER": "modeller"}, cwd=REPOSITORY / "dbt_project"),
            ),
        ]
        began, turn, next_task = time.monotonic(), 0, UPKEEP_SECONDS / 2
        running: tuple[str, subprocess.Popen[str]] | None = None
        with Lake(settings, read_only=True) as lake:
            left = active_files(lake)
            while (now := time.monotonic() - began) < options.seconds and demo.poll() is None:
                try:
                    samples.append(sample(settings, lake, began=began, left=left))
                    took(samples[-1])
                except (MillraceError, duckdb.Error, psycopg2.Error) as error:
                    problems.append(f"a sample could not be taken: {error}")
                # The last one has to end before the demo does.
                if running is None and next_task <= now < options.seconds - UPKEEP_SECONDS:
                    name, start = tasks[turn % len(tasks)]
                    running, turn, next_task = (name, start()), turn + 1, now + UPKEEP_SECONDS / 2
                elif running is not None and running[1].poll() is not None:
                    problems += told(*running)
                    if running[0] == "upkeep":
                        left = active_files(lake)
                    running = None
                time.sleep(SAMPLE_SECONDS)
        if running is not None:
            problems += told(*running)
        for process in readers:
            problems += told("a reader", process)
        if demo.wait(timeout=600) != 0:
            log.seek(0)
            problems.append(f"the demo says: {log.read()[-1500:]}")
    finally:
        demo.terminate()
        demo.wait(timeout=120)
    return samples, problems


def told(name: str, process: subprocess.Popen[str]) -> list[str]:
    """What a process that worked beside had to complain about, when it failed."""
    output, _ = process.communicate(timeout=300)
    return [] if process.returncode == 0 else [f"{name} failed: {output[-1500:]}"]


class Progress:
    """Tells about a sample once a minute, and keeps all of them in a file when there is one."""

    def __init__(self, console: Console, file: Path | None) -> None:
        self._console = console
        self._file = file.open("a", buffering=1) if file is not None else None
        self._next = 0.0

    def __call__(self, each: Sample) -> None:
        """Take the newest sample."""
        if self._file is not None:
            self._file.write(json.dumps(asdict(each)) + "\n")
        if each.hours * 3600 < self._next:
            return
        self._next = each.hours * 3600 + TOLD_SECONDS - SAMPLE_SECONDS / 2
        sizes = " ".join(f"{name} {mib:.0f}" for name, mib in each.services.items())
        self._console.print(
            f"{60 * each.hours:3.0f} min: {each.memory:.0f} MiB ({sizes}), {each.handles:.0f} handles, "
            f"raw after {each.wait_seconds:.1f} s, {each.batches:.0f} batches, "
            f"{each.files_on_disk:.0f} files, {each.snapshots:.0f} versions",
            soft_wrap=True,
        )  # fmt: skip


def judge(samples: Sequence[Sample], console: Console) -> bool:
    """Print the slopes; whether all are within their bounds."""
    kept = [each for each in samples if each.hours >= samples[-1].hours * WARM_SHARE]
    rows = table(
        "measure", "first", "last", "slope", "±", "per", "bound", "verdict",
        right=("first", "last", "slope", "±", "bound"),
    )  # fmt: skip
    good = True
    for measure in MEASURES:
        ys = [getattr(each, measure.y) for each in kept]
        found, error = slope([getattr(each, measure.over) for each in kept], ys)
        # Above the bound beyond doubt: noise alone must not fail a short soak.
        fine = found - 2 * error <= measure.bound
        good = good and fine
        rows.add_row(
            measure.title, f"{ys[0]:.1f}", f"{ys[-1]:.1f}", f"{found:.2f}", f"{error:.2f}",
            "hour" if measure.over == "hours" else "batch", f"{measure.bound:g}",
            "[green]held[/]" if fine else "[red]grows[/]",
        )  # fmt: skip
    minutes, batches = 60 * (kept[-1].hours - kept[0].hours), kept[-1].batches - kept[0].batches
    console.print(f"{len(kept)} samples over {minutes:.0f} minutes and {batches:.0f} batches", rows)
    console.print("memory of each, MiB:", each_service(kept))
    return good


def each_service(samples: Sequence[Sample]) -> str:
    """First and last size of each service, the one that grew most first."""
    first, last = samples[0].services, samples[-1].services
    grown = sorted(last, key=lambda name: first.get(name, 0.0) - last[name])
    return ", ".join(f"{name} {first.get(name, 0.0):.0f} → {last[name]:.0f}" for name in grown)


def main() -> int:
    """Read the command line, soak, judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--for", dest="seconds", type=float, default=600, help="seconds, after the start")
    parser.add_argument("--rate", type=float, default=2.0, help="readings a second of each of 12 machines")
    parser.add_argument("--readers", type=int, default=20, help="processes that query all the time")
    parser.add_argument("--samples", type=Path, help="file to which every sample is appended, as JSON")
    options = parser.parse_args()
    console = Console(width=120, highlight=False)
    with tempfile.TemporaryDirectory(prefix="millrace-soak-") as parent:
        samples, problems = soak(Path(parent) / "data", options, Progress(console, options.samples))
    good = len(samples) >= 10 and judge(samples, console)
    for problem in problems:
        console.print(problem, style="red", markup=False)
    return int(not good or bool(problems))


if __name__ == "__main__":
    sys.exit(main())
