"""W9: marts into PostgreSQL, per changed row: a few rows of a large mart, many rows, and the whole.

`python -m benchmarks.w9_serving --rows 1000000`: a keyed mart, a view of it, one publisher in this process.
"""

import argparse
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path

from benchmarks.report import Row, emit
from ingestion.lake.lake import Lake
from ingestion.serve.instants import Builder
from ingestion.serve.shelf import Mart, write_served
from ingestion.settings import Settings, load_settings
from orchestration.services.postgres import EmbeddedPostgres
from orchestration.serving.publisher import Publisher

STREAM = "orders"
_MART = """
create table marts.orders as
select
    i as order_id, 'state ' || (i % 7) as state, (i % 1000)::decimal(18, 2) as amount,
    timestamptz '2026-01-01 00:00:00+00' + i * interval 1 second as ordered_at, i % 2 = 0 as paid
from range({rows}) as r(i)
"""
_VIEW = "create view marts.totals as select state, count(*) as orders from lake.marts.orders group by state"


def changed(
    lake: Lake, builder: Builder, publisher: Publisher, *, first: int, count: int
) -> tuple[int, float]:
    """Change rows as an incremental model does; returns the rows written and the seconds of publishing."""
    builder.begin(["orders"])
    lake.connection.execute("begin")
    lake.connection.execute(
        f"create or replace temp table new as select * replace (amount + 1 as amount) from lake.marts.orders "
        f"where order_id >= {first} and order_id < {first + count}"
    )
    lake.connection.execute(
        f"delete from lake.marts.orders where order_id >= {first} and order_id < {first + count}"
    )
    lake.connection.execute("insert into lake.marts.orders select * from temp.new")
    lake.connection.execute("commit")
    return ended(lake, builder, publisher)


def ended(lake: Lake, builder: Builder, publisher: Publisher) -> tuple[int, float]:
    """The run's end, and the publication."""
    builder.end(["orders"], snapshot=lake.snapshot_id, shown={})
    begun = time.perf_counter()
    done = publisher.look()
    assert done is not None
    return sum(done.rows.values()), time.perf_counter() - begun


def measure(settings: Settings, rows: int, rounds: int) -> list[Row]:
    """All of it."""
    found = []
    with Lake(settings) as lake:
        lake.prepare([])
        publisher, builder = Publisher(settings), Builder(settings, {(STREAM,): frozenset({"orders"})})
        with closing(publisher), closing(builder):
            for sql in ("create schema marts", _MART.format(rows=rows), _VIEW):
                lake.connection.execute(sql)
            names = {"orders": ("order_id",), "totals": ()}
            write_served(
                settings.data_dir, [Mart(name, "marts", name, (STREAM,), key) for name, key in names.items()]
            )
            written, seconds = ended(lake, builder, publisher)
            found.append(_row(f"the whole, {rows:,} rows", written, seconds))
            for count in (1, 100, 10_000):
                times = []
                for number in range(rounds):
                    written, seconds = changed(lake, builder, publisher, first=number * count, count=count)
                    times.append(seconds)
                found.append(_row(f"{count:,} of {rows:,} rows changed", written, statistics.median(times)))
    return found


def _row(what: str, written: int, seconds: float) -> Row:
    note = f"{written:,} rows deleted and inserted, {1e6 * seconds / max(written, 1):,.0f} µs each"
    return Row("W9", what, f"{seconds:.3f} s", note=note)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        postgres = EmbeddedPostgres(Path(folder) / "postgres")
        postgres.start()
        try:
            settings = load_settings(
                data_dir=Path(folder) / "data", catalog=postgres.dsn("lake"), serving=postgres.dsn("serving")
            )
            emit(measure(settings, options.rows, options.rounds))
        finally:
            postgres.stop()


if __name__ == "__main__":
    main()
