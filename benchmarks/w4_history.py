"""W4: does a cycle (batch, proof, models, contracts) slow down with what the lake already holds?

`python -m benchmarks.w4_history` compares lakes of 0, 1 M and 10 M rows in up to 10,000 loads (`--full` adds
100 M). History is written through the real tables, with a ledger that is proven, in files as upkeep leaves
them, and with the versions of a thousand cycles, which it has not thinned out yet. Each lake has a process
of its own; the cycles take turns.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pyarrow as pa

from benchmarks.report import Row, emit
from ingestion.declare.file import load_streams
from ingestion.formats.decode import decoder
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import prove
from ingestion.land.batch import Ingestor
from ingestion.log.envelope import SOURCE_SCHEMA
from ingestion.log.port import Bounds, Chunk, Start, Window
from ingestion.settings import Settings, load_settings
from orchestration.demo.machines import read_machines
from orchestration.services.postgres import EmbeddedPostgres
from tests.repository import REPOSITORY

STREAM = "plant_telemetry"
PARTITION = f"{STREAM}-0"
LOG_ID = "w4"
SIZES = [(1_000_000, 1_000), (10_000_000, 10_000)]
FULL = (100_000_000, 10_000)
_HISTORY_DAYS = 30
_FILLS = 30
"""Transactions of the history: a partition of raw is a day, and upkeep merges what is in it."""

_ROWS_OF_A_BUILD = 20_000_000
_KEPT_CYCLES = 1_000
"""Of 2.5 s each: upkeep comes every quarter of an hour and leaves half an hour of versions."""
_CYCLE = (
    "update marts.machine_status set last_batch_id = last_batch_id",
    "update intermediate.int_alert_runs set last_batch_id = last_batch_id where kind = 'evaluated'",
    "update marts.machine_minute set last_batch_id = last_batch_id "
    "where minute_at = (select max(minute_at) from marts.machine_minute)",
)
"""What a cycle does to the marts' files and versions: it writes a few rows anew."""

_FILL = """
insert into raw.plant_telemetry by name
select
    1 + i // $per_load as batch_id, $partition as source_partition, i as position,
    $partition || '@' || i as event_id, 'plant/x/' || machine || '/telemetry' as event_key,
    '{"reading_id":"h-' || i || '","machine_id":"' || machine || '","line_id":"line-1","measured_at":"'
    || strftime(moment at time zone 'UTC', '%Y-%m-%dT%H:%M:%S.%fZ')
    || '","temperature_celsius":' || (50 + i % 17)
    || ',"vibration_mm_s":2.1,"power_kw":' || (10 + i % 13) || ',"status":"running"}' as payload,
    '{}' as headers, moment as event_time, moment + interval 1 second as ingested_at,
    'history' as _dlt_load_id
from (
    select i, $machines[1 + i % len($machines)] as machine, $begin + to_microseconds(i * $step_us) as moment
    from range($first, $last) as numbers(i)
) as history
"""
_LEDGER = """
insert into raw.batches by name
select
    $stream as stream, 1 + n as batch_id, $partition as source_partition, $log_id as log_id,
    n * $per_load as start_position, (n + 1) * $per_load as end_position,
    (n + 1) * $per_load as log_end_position,
    $per_load as events_read, $per_load as events_landed, 0 as events_rejected, 200 * $per_load as bytes_read,
    $begin + to_microseconds(n * $per_load * $step_us) as first_event_time,
    $begin + to_microseconds((n + 1) * $per_load * $step_us) as last_event_time,
    $begin + to_microseconds((n + 1) * $per_load * $step_us) as started_at,
    $begin + to_microseconds((n + 1) * $per_load * $step_us) + interval 1 second as ingested_at
from range($first // $per_load, $last // $per_load) as numbers(n)
"""


@dataclass
class GeneratedLog:
    """A log with `events` new readings from `begin` on, in place of a broker, which is not measured here.

    It hands out the same event again: the next batch recognises the log by the last one.
    """

    begin: int
    events: int = 0
    stalls: int = 0
    keeps_until_confirmed: bool = False
    moments: dict[int, datetime] = field(default_factory=dict)

    def bounds(self) -> dict[str, Bounds]:
        return {PARTITION: Bounds(0, self.begin + self.events, LOG_ID)}

    def has_moved(self, known: Mapping[str, Bounds]) -> bool:
        return self.bounds() != known

    def start_positions(self, start: Start, partitions: Mapping[str, Bounds]) -> dict[str, int]:
        return dict.fromkeys(partitions, 0)

    def read(self, windows: Mapping[str, Window]) -> Iterator[Chunk]:
        machines = read_machines(REPOSITORY / "dbt_project" / "seeds" / "machines.csv")
        window, now = windows[PARTITION], datetime.now(UTC)
        rows = []
        for position in range(window.start, window.end):
            machine = machines[position % len(machines)]
            moment = self.moments.setdefault(position, now)
            event = {
                "reading_id": f"n-{position}", "machine_id": machine.machine_id, "line_id": machine.line_id,
                "measured_at": moment.isoformat(), "temperature_celsius": 50.0, "vibration_mm_s": 2.0,
                "power_kw": 10.0, "status": "running",
            }  # fmt: skip
            rows.append(
                {"source_partition": PARTITION, "position": position, "value": json.dumps(event).encode()}
                | {"event_key": b"plant", "headers": "{}", "event_time": moment}
            )
        yield Chunk(pa.Table.from_pylist(rows, schema=SOURCE_SCHEMA), {PARTITION: window.end})

    def confirm(self, positions: Mapping[str, int]) -> None: ...

    def close(self) -> None: ...


def fill(lake: Lake, *, rows: int, loads: int, build: Callable[[], None]) -> None:
    """Write the history, rows and ledger together, prove it, and build the models.

    Args:
        lake: An empty one.
        rows: Of the history.
        loads: In how many loads.
        build: Builds the models; called once, or part by part where one build of all would need much memory.
    """
    lake.prepare(stream.name for stream in load_streams(lake.settings.streams_file))
    lake.publish_access()
    if not rows:
        return build()
    span = timedelta(days=_HISTORY_DAYS)
    machines = [
        machine.machine_id for machine in read_machines(REPOSITORY / "dbt_project" / "seeds" / "machines.csv")
    ]
    common = {
        "per_load": rows // loads, "partition": PARTITION, "step_us": int(span.total_seconds() * 1e6 / rows),
        "begin": datetime.now(UTC) - span - timedelta(hours=2),
    }  # fmt: skip
    parts = min(_FILLS, loads)
    for part in range(parts):
        first, last = (loads * number // parts * (rows // loads) for number in (part, part + 1))
        edges = {"first": first, "last": last}
        lake.connection.execute("begin")
        lake.connection.execute(_FILL, common | edges | {"machines": machines})
        lake.connection.execute(_LEDGER, common | edges | {"stream": STREAM, "log_id": LOG_ID})
        lake.connection.execute("commit")
        if rows > _ROWS_OF_A_BUILD:
            build()
            print(f"{last:,} of {rows:,} rows", file=sys.stderr, flush=True)
    defects = prove(lake, STREAM).defects
    assert not defects, defects[:3]
    build()


def leave_versions(lake: Lake, cycles: int) -> None:
    """Leave the versions, and the files that only they hold, of so many cycles."""
    for _ in range(cycles):
        for statement in _CYCLE:
            lake.connection.execute(statement)


class Chain:
    """One lake with dbt and the contracts, as a run has them."""

    def __init__(self, settings: Settings, *, rows: int, loads: int) -> None:
        from orchestration.checks.contracts import read_contracts
        from orchestration.dbt.lineage import model_keys
        from orchestration.dbt.manifest import load_manifest
        from orchestration.dbt.project import contract_folders, parse_models

        self.lake = Lake(settings)
        streams = load_streams(settings.streams_file)
        self._stream = next(stream for stream in streams if stream.name == STREAM)
        self._log = GeneratedLog(rows)
        self._ingestor = Ingestor(self.lake)
        parsed = parse_models(settings, streams)
        self._project, self._manifest = parsed.project, load_manifest(parsed.project)
        keys = model_keys(parsed)
        folders = contract_folders(settings.dbt_folder)
        contracts, _ = read_contracts(folders, {key.path[-1] for key in keys.values()}, left_out=set())
        names = ("machine_status", "machine_minute", "alerts")
        self._contracts = [contract for name, contract in contracts.items() if name in names]
        fill(self.lake, rows=rows, loads=loads, build=self._build_all)
        leave_versions(self.lake, min(loads, _KEPT_CYCLES))

    def _build_all(self) -> None:
        self._build("resource_type:seed", f"stg_{STREAM}+")

    def _build(self, *select: str) -> None:
        from orchestration.dbt.project import FULL_SCAN, NO_ASSETS
        from orchestration.dbt.runner import build_args, invoke

        args = build_args("build", select=list(select), exclude=[FULL_SCAN, NO_ASSETS, "tag:ops"])
        invoke(self._project, args, manifest=self._manifest)

    def cycle(self, events: int) -> dict[str, float]:
        """One cycle over so many new events; step → seconds."""
        from orchestration.checks.soda import verify

        self._log.begin, self._log.events = self._log.begin + self._log.events, events
        laps, last = {}, time.monotonic()

        def lap(name: str) -> None:
            nonlocal last
            laps[name], last = time.monotonic() - last, time.monotonic()

        report = self._ingestor.run(self._stream, self._log, decode=decoder("json"))
        lap("batch")
        assert report.batch_id is not None
        defects = prove(self.lake, STREAM, since_batch=report.batch_id - 1).defects
        assert not defects, defects
        lap("proof")
        self._build(f"stg_{STREAM}+")
        lap("models")
        outcomes = [found for contract in self._contracts for found in verify(self.lake.connection, contract)]
        assert not [found for found in outcomes if found.result in ("failed", "could_not_run")], outcomes
        lap("contracts")
        return laps

    def pruning(self) -> str:
        """Of how many files the query for a new batch reads how many, from EXPLAIN ANALYZE."""
        newest = int(
            self.lake.query("select max(batch_id) from raw.batches where stream = ?", [STREAM])[0][0]
        )
        plan = self.lake.query(
            f"explain analyze select count(payload) from raw.{STREAM} where batch_id > {newest - 1}"
        )[0][1]
        read = re.search(r"Total Files Read:\s*(\d+)", plan)
        files = self.lake.query(
            "select file_count from ducklake_table_info('lake') where table_name = ?", [STREAM]
        )[0][0]
        return f"{read[1] if read else '?'} of {files} files read"


def child(options: dict[str, Any]) -> None:
    """Make the lake, then one cycle for every line of input."""
    settings = load_settings(**options["settings"])
    started = time.monotonic()
    chain = Chain(settings, rows=options["rows"], loads=options["loads"])
    print(json.dumps({"ready": time.monotonic() - started}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        print(json.dumps(chain.pruning() if order == "pruning" else chain.cycle(order)), flush=True)


class Contender:
    """A lake's process."""

    def __init__(self, folder: Path, postgres: EmbeddedPostgres, *, rows: int, loads: int) -> None:
        self.rows, self.loads = rows, loads
        name = f"w4_{rows}_{loads}"
        connection = psycopg2.connect(postgres.libpq("lake"))
        connection.autocommit = True
        connection.cursor().execute(f"create database {name}")
        connection.close()
        options = {
            "settings": {"data_dir": str(folder / name), "catalog": postgres.dsn(name)},
            "rows": rows,
            "loads": loads,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.w4_history", "--child", json.dumps(options)],
            cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        print(f"{rows:,} rows in {loads:,} loads: made in {self._answer()['ready']:.0f} s", flush=True)

    def ask(self, order: object) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the process of {self.rows:,} rows ended"
        return json.loads(line)

    def stop(self) -> None:
        self._process.communicate(timeout=60)


def measure(folder: Path, sizes: list[tuple[int, int]], *, cycles: int, events: int) -> list[Row]:
    """Make the lakes, let their cycles take turns; the first two of each are not counted."""
    postgres = EmbeddedPostgres(folder / "postgres")
    postgres.start()
    lakes: list[Contender] = []
    try:
        for rows, loads in [(0, 0), *sizes]:
            lakes.append(Contender(folder, postgres, rows=rows, loads=loads))
        laps: list[list[dict[str, float]]] = [[] for _ in lakes]
        for number in range(cycles + 2):
            for lake, measured in zip(lakes, laps, strict=True):
                lap = lake.ask(events)
                if number >= 2:
                    measured.append(lap)
        medians = [statistics.median(sum(lap.values()) for lap in measured) for measured in laps]
        figures = []
        for lake, measured, median in zip(lakes, laps, medians, strict=True):
            steps = ", ".join(
                f"{name} {statistics.median(lap[name] for lap in measured):.2f} s" for name in measured[0]
            )
            ratio = median / medians[0]
            figures.append(
                Row(
                    "W4", f"cycle of {events:,} events on {lake.rows:,} rows in {lake.loads:,} loads",
                    f"{median:.2f} s = {ratio:.2f}×",
                    "≤ 1.2×" if lake.rows else "", ratio <= 1.2 if lake.rows else None,
                    f"{steps}; {lake.ask('pruning')}",
                )
            )  # fmt: skip
        return figures
    finally:
        for lake in lakes:
            lake.stop()
        postgres.stop()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--full", action="store_true", help="100 M rows as well")
    parser.add_argument("--sizes", help="rows:loads,rows:loads instead")
    parser.add_argument("--cycles", type=int, default=7)
    parser.add_argument("--events", type=int, default=1000, help="new events of a cycle")
    parser.add_argument("--child")
    options = parser.parse_args()
    if options.child:
        return child(json.loads(options.child))
    sizes = [*SIZES, *([FULL] if options.full else [])]
    if options.sizes:
        sizes = [(int(rows), int(loads)) for rows, loads in (s.split(":") for s in options.sizes.split(","))]
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as folder:
        emit(measure(Path(folder), sizes, cycles=options.cycles, events=options.events))


if __name__ == "__main__":
    main()
