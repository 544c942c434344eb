"""A lake with marts, a database for BI tools, and what publishes from one to the other."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2

from ingestion.lake.lake import Lake
from ingestion.serve.instants import Builder
from ingestion.serve.shelf import Mart, write_served
from ingestion.settings import Settings, load_settings
from orchestration.records.serving_status import ServingStatus, read_status
from orchestration.serving.publication import Publication
from orchestration.serving.publisher import Publisher

STREAM = "orders"
TABLES = ("orders", "lines")
MARTS = (*TABLES, "totals")


class Shop:
    """A lake and a database for BI tools; `open` fills both.

    Args:
        settings: Of both.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.lake = Lake(settings, time_travel=True)
        self.lake.prepare([])
        self.publisher = Publisher(settings)
        self.builder = Builder(settings, {(STREAM,): frozenset(TABLES)})

    def open(self) -> None:
        """Begin with marts `orders` (keyed), `lines` (no key) and `totals` (a view); nothing is published."""
        for schema in ("marts", "millrace_serving", "millrace_beside"):
            self.in_serving(f"drop schema if exists {schema} cascade")
        self.in_catalog("delete from millrace.unfinished", "delete from millrace.instants")
        self.do(
            "drop schema if exists lake.marts cascade",
            "create schema lake.marts",
            "create table lake.marts.orders as select i as id, 'new' as state from range(10) as r(i)",
            "create table lake.marts.lines as select i % 3 as part, 'x' as note from range(9) as r(i)",
            "create view lake.marts.totals as "
            "select state, count(*) as orders from lake.marts.orders group by state",
        )
        self.serve(orders=("id",), totals=(), lines=())
        self.restart()

    def restart(self) -> None:
        """A new publisher, as after a kill."""
        self.publisher.close()
        self.publisher = Publisher(self.settings)

    def do(self, *statements: str) -> None:
        """Change the lake in one transaction."""
        for statement in ("begin", *statements, "commit"):
            self.lake.connection.execute(statement)

    def serve(self, **keys: tuple[str, ...]) -> None:
        """Say which marts there are."""
        marts = [Mart(name, "marts", name, (STREAM,), key) for name, key in keys.items()]
        write_served(self.settings.data_dir, marts)

    def build(self, *statements: str, shown: Mapping[str, Mapping[str, int]] | None = None) -> int:
        """A run that changes marts and passes its checks; returns the version."""
        self.builder.begin(TABLES)
        if statements:
            self.do(*statements)
        self.builder.end(TABLES, snapshot=self.lake.snapshot_id, shown=shown or {})
        return self.lake.snapshot_id()

    def publish(self) -> Publication | None:
        """Publish what there is to publish."""
        return self.publisher.look()

    def published(self) -> Publication:
        """Publish; there has to be something."""
        done = self.publish()
        assert done is not None
        return done

    def rows(self, mart: str) -> list[tuple[Any, ...]]:
        """A mart as BI tools read it."""
        with reading(self.settings) as ask:
            return ask(f"select * from marts.{mart} order by 1, 2")

    def agrees(self, version: int) -> bool:
        """Whether all marts are as they are in a version of the lake."""
        for mart in MARTS:
            rows = self.lake.query(f"select * from lake.marts.{mart} at (version => {version}) order by 1, 2")
            assert self.rows(mart) == rows, mart
        return set(self.served().values()) == {version}

    def served(self) -> dict[str, int]:
        """Mart → its version, as `_served` says."""
        with reading(self.settings) as ask:
            return dict(ask("select mart, snapshot from marts._served"))

    def status(self) -> ServingStatus:
        """What the publisher says of itself."""
        status = read_status(self.settings.data_dir)
        assert status is not None
        return status

    def in_serving(self, *statements: str) -> None:
        """Change the database for BI tools."""
        _run(secret(self.settings.serving), statements)

    def in_catalog(self, *statements: str) -> None:
        """Change the catalog's database."""
        _run(secret(self.settings.catalog), statements)

    def close(self) -> None:
        """Close all connections."""
        self.publisher.close()
        self.builder.close()
        self.lake.close()


def secret(address: Any) -> str:
    """An address as it is."""
    return str(address.get_secret_value())


def _run(address: str, statements: tuple[str, ...]) -> None:
    connection = psycopg2.connect(address)
    with connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    connection.close()


@contextmanager
def reading(settings: Settings) -> Iterator[Callable[[str], list[tuple[Any, ...]]]]:
    """Asks the database for BI tools; all in one REPEATABLE READ transaction."""
    connection = psycopg2.connect(secret(settings.serving))
    connection.set_session(isolation_level="REPEATABLE READ", readonly=True)

    def ask(sql: str) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    try:
        yield ask
    finally:
        connection.close()


def new_shop(folder: Path, new_database: Callable[[], str]) -> Shop:
    """A new one."""
    return Shop(load_settings(data_dir=folder, catalog=new_database(), serving=new_database()))
