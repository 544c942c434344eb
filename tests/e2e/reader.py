"""An analyst's process: reads the lake through the published secrets, again and again, and counts.

`python -m tests.e2e.reader DATA_DIR SECONDS [PAUSE [CURSORS]]` prints how often each cursor read at least,
or dies of an error.
"""

import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb

from ingestion.lake.engine import engine_config

LEDGER = """
select
    (select sum(events_landed) from lake.raw.batches where stream = 'plant_telemetry'),
    (select count(*) from lake.raw.plant_telemetry),
    (select sum(events_rejected) from lake.raw.batches),
    (select count(*) from lake.raw.rejects)
"""
QUERIES = [
    "select count(*), max(batch_id) from lake.raw.plant_telemetry",
    "select machine_id, sum(readings), max(temperature_celsius_max) from lake.marts.machine_minute "
    "group by 1",
    "select * from lake.marts.machine_status",
    "select * from lake.marts.order_progress order by 1 limit 50",
    "select * from lake.marts.alerts",
    "select * from lake.marts.ops_lag",
]


def read(connection: duckdb.DuckDBPyConnection, *, deadline: float, pause: float) -> int:
    """Read until the deadline; how many times."""
    done = 0
    while time.monotonic() < deadline:
        rows = connection.execute(LEDGER).fetchall()
        # It adds up at every instant at which anybody looks: no half batch is ever seen.
        assert all(
            read == landed and rejected_read == rejected for read, landed, rejected_read, rejected in rows
        ), rows
        connection.execute(random.choice(QUERIES)).fetchall()
        done += 1
        time.sleep(pause)
    return done


def main() -> None:
    """Read until the time is over, over several cursors at once."""
    data_dir, seconds = Path(sys.argv[1]), float(sys.argv[2])
    options = dict(enumerate(sys.argv[3:]))
    pause, cursors = float(options.get(0, 0.2)), int(options.get(1, 1))
    connection = duckdb.connect(":memory:", config=engine_config(data_dir))
    connection.execute("attach 'ducklake:millrace' as lake (read_only)")
    deadline = time.monotonic() + seconds
    with ThreadPoolExecutor(cursors) as pool:
        readers = [
            pool.submit(read, connection.cursor(), deadline=deadline, pause=pause) for _ in range(cursors)
        ]
    print(min(reader.result() for reader in readers))


if __name__ == "__main__":
    main()
