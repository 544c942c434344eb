"""What changed in the tables of raw from one version of a lake to the next, oldest first.

A change is added at the end with the next number, and never edited once a release has it. Tables that are
missing need none: they are created (tables.py). How migrations run, after a backup: ingestion/migrate.
"""

from collections.abc import Callable
from dataclasses import dataclass

import duckdb


@dataclass(frozen=True)
class Migration:
    """One step.

    Attributes:
        number: The version of the lake after it.
        sentence: What is different then; users see it.
        apply: Gets a connection in an open transaction, with the lake current, and does not commit. It may
            find its work done: a process may die between the commit and the note of it.
    """

    number: int
    sentence: str
    apply: Callable[[duckdb.DuckDBPyConnection], None]


def _count_gaps(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("alter table raw.batches add column if not exists positions_skipped bigint")


def _retire_partitions(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("alter table raw.batches add column if not exists retired varchar")


def _recognise_logs(connection: duckdb.DuckDBPyConnection) -> None:
    for column in ("last_event", "log_end_proof"):
        connection.execute(f"alter table raw.batches add column if not exists {column} varchar")


def _keep_states(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("alter table raw.batches add column if not exists format_state varchar")


def _name_schemas(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("alter table raw.batches add column if not exists schemas varchar")


def compress_files(connection: duckdb.DuckDBPyConnection) -> None:
    """Say how the lake's files are compressed: by Zstandard, at its first level.

    The third, which DuckDB takes by itself, costs a load a quarter to a half more CPU for the same size
    (docs/performance.md).
    """
    for name, value in (("parquet_compression", "'zstd'"), ("parquet_compression_level", "1")):
        connection.execute(f"call ducklake_set_option(current_database(), '{name}', {value})")


MIGRATIONS: tuple[Migration, ...] = (
    Migration(1, "the ledger counts the positions that retention deleted unread", _count_gaps),
    Migration(2, "the ledger notes the partitions that a stream reads no more", _retire_partitions),
    Migration(3, "the ledger holds what a log is recognised by", _recognise_logs),
    Migration(4, "the ledger keeps what a format needs to know from batch to batch", _keep_states),
    Migration(5, "the ledger names the schemas of a registry that a batch's values have", _name_schemas),
    Migration(6, "the lake's files are compressed for less CPU, at the same size", compress_files),
)


def newest() -> int:
    """The version of a lake that this release writes; it reads older ones, too."""
    return MIGRATIONS[-1].number


def steps_after(number: int) -> tuple[Migration, ...]:
    """What a lake at a version lacks."""
    return tuple(migration for migration in MIGRATIONS if migration.number > number)
