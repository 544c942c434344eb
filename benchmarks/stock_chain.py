"""One event on an idle system: ours against the stock chain, in one run. Same tables, same models.

`python -m benchmarks.stock_chain --events 4`. The stock chain is `dagster dev` with nothing changed (sensor
interval, queued coordinator, default launcher), dlt's row path and dagster-dbt's subprocess. It lacks our
contracts and proofs; the MQTT half and the ops models are left out of both.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from benchmarks.report import Row, emit
from benchmarks.system import ORDERS, Brokers, brokers, environment, millrace_up
from benchmarks.w3_chain import Reader, send
from ingestion.declare.file import load_streams
from ingestion.lake.lake import Lake
from ingestion.settings import Settings, load_settings
from orchestration.dbt.prepared import prepare_project
from orchestration.services.postgres import EmbeddedPostgres
from tests.repository import REPOSITORY
from tests.servers.ports import free_ports

_LONGEST_SECONDS = 300
_PAUSE_SECONDS = 8.0


def reactions(servers: Brokers, reader: Reader, *, events: int) -> list[float]:
    """Seconds from an event's own time until its order is in the mart; the first one is not counted."""
    sent: Counter[str] = Counter()
    ages = []
    for number in range(events + 1):
        sent.update(send(servers, rate=2.0, seconds=0.4, mqtt=False))
        deadline = time.monotonic() + _LONGEST_SECONDS
        while reader.in_marts(ORDERS) < sent[ORDERS]:
            assert time.monotonic() < deadline, _whereabouts(reader, sent=sent[ORDERS])
            time.sleep(0.1)
        seen = time.time()
        (produced,) = reader.lake.query(f"select epoch(max(event_at)) from staging.stg_{ORDERS}")[0]
        if number:
            ages.append(seen - float(produced))
        time.sleep(_PAUSE_SECONDS + 1.7 * number)  # not in step with anybody's interval
    return ages


def _whereabouts(reader: Reader, *, sent: int) -> str:
    """Where events are that did not reach their mart."""
    tables = (f"raw.{ORDERS}", f"staging.stg_{ORDERS}", "marts.order_progress")
    held = [reader.lake.query(f"select count(*), max(batch_id) from {name}") for name in tables[:2]]
    held.append(reader.lake.query(f"select sum(events), max(last_batch_id) from {tables[2]}"))
    return f"of {sent} events not all reached their mart: " + ", ".join(
        f"{name} {rows[0]}" for name, rows in zip(tables, held, strict=True)
    )


@contextmanager
def ours(folder: Path, servers: Brokers) -> Iterator[Settings]:
    """The chain of `millrace up`."""
    with millrace_up(folder / "data", servers.settings()) as running:
        yield running.settings()


@contextmanager
def stock(folder: Path, servers: Brokers) -> Iterator[Settings]:
    """`dagster dev` on a lake of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    postgres = EmbeddedPostgres(folder / "postgres")
    postgres.start()
    values = servers.settings() | {"catalog": postgres.dsn("lake")}
    settings = load_settings(data_dir=folder / "data", **values)
    project, home = folder / "dbt", folder / "home"
    shutil.copytree(
        REPOSITORY / "dbt_project",
        project,
        ignore=shutil.ignore_patterns("target", "logs", "dbt_packages", ".millrace_package"),
    )
    streams = load_streams(settings.streams_file)
    prepare_project(streams, project)
    with Lake(settings) as lake:
        lake.prepare(stream.name for stream in streams)
        lake.publish_access()
        for table in (ORDERS, "_dlt_loads", "_dlt_version"):  # dlt wants to make its own
            lake.connection.execute(f"drop table raw.{table}")
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    bin_dir = Path(sys.executable).parent
    env = environment(settings.data_dir, values) | {
        "DAGSTER_HOME": str(home), "STOCK_DBT": str(project), "DO_NOT_TRACK": "1",
        "PATH": f"{bin_dir}{os.pathsep}{os.environ['PATH']}",
    }  # fmt: skip
    for command in ("parse", "seed"):
        subprocess.run(
            [bin_dir / "dbt", command, "--target", "prod"], cwd=project, env=env, check=True, stdout=2
        )
    (port,) = free_ports(1)
    with open(folder / "dagster.log", "wb") as log:
        process = subprocess.Popen(
            [bin_dir / "dagster", "dev", "-m", "benchmarks.stock_definitions", "-p", str(port)],
            cwd=REPOSITORY, env=env, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield settings
    finally:
        # Its children wait for SIGINT, which they ignore where the benchmark runs in the background.
        for left in [*psutil.Process(process.pid).children(recursive=True), process]:
            left.kill()
        process.wait(20)
        postgres.stop()


CHAINS = {"ours": ours, "stock": stock}


def measure(folder: Path, *, events: int) -> list[Row]:
    """Both chains, one after the other; medians and their ratio."""
    medians, spreads = {}, {}
    for name, chain in CHAINS.items():
        with brokers(folder / name) as servers, chain(folder / name, servers) as settings:
            reader = Reader(settings)
            try:
                ages = reactions(servers, reader, events=events)
            finally:
                reader.lake.close()
        medians[name] = statistics.median(ages)
        spreads[name] = f"{min(ages):.1f} to {max(ages):.1f} s"
    ratio = medians["ours"] / medians["stock"]
    return [
        Row("stock", f"one event to its mart, {name}", f"{medians[name]:.1f} s", note=spreads[name])
        for name in CHAINS
    ] + [Row("stock", "one event to its mart, ours : stock", f"{ratio:.2f}", "< 0.5", ratio < 0.5)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=4, help="of each chain")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as folder:
        emit(measure(Path(folder), events=options.events))


if __name__ == "__main__":
    main()
