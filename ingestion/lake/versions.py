"""What wrote a lake, and at which version it is: a table beside DuckLake's own, so that a backup holds it.

A lake without that table is from before there were versions: at version 0. The steps are in migrations.py.
"""

from dataclasses import dataclass
from importlib.metadata import version as release_of

import psycopg2.errors
from psycopg2 import extensions

from ingestion.errors import LakeOutdated, LakeTooNew
from ingestion.lake.migrations import newest
from ingestion.project import DISTRIBUTION

METADATA_SCHEMA = "ducklake"
"""Where DuckLake's tables are in the catalog's database, and this one."""

_TABLE = f"{METADATA_SCHEMA}.millrace_versions"
_CREATE = f"""
create table if not exists {_TABLE} (
    version integer primary key,
    sentence text not null,
    release text not null,
    begun_at timestamptz not null,
    done_at timestamptz,
    backup text not null
)
"""
_BEGIN = f"""
insert into {_TABLE} values (%s, %s, %s, now(), null, %s)
on conflict (version) do update set release = excluded.release, begun_at = now()
"""


@dataclass(frozen=True)
class LakeVersion:
    """A version that a lake reached, or that a migration has begun.

    Attributes:
        number: The version.
        release: Of Millrace, which made the lake or migrated it.
        done: Whether the migration has ended.
        backup: The folder with the lake as it was before; empty where nothing was before.
    """

    number: int
    release: str
    done: bool
    backup: str


def own_release() -> str:
    """The release of this Millrace."""
    return release_of(DISTRIBUTION)


def read_versions(cursor: extensions.cursor) -> tuple[LakeVersion, ...]:
    """Every version that is noted, oldest first; one cheap read. None is noted at version 0.

    Args:
        cursor: Of a connection in autocommit mode.
    """
    try:
        cursor.execute(f"select version, release, done_at is not null, backup from {_TABLE} order by version")
    except psycopg2.errors.UndefinedTable:
        return ()
    return tuple(LakeVersion(*row) for row in cursor.fetchall())


def number_of(versions: tuple[LakeVersion, ...]) -> int:
    """The version that a lake is at."""
    return max((each.number for each in versions if each.done), default=0)


def require_known(versions: tuple[LakeVersion, ...], place: str) -> None:
    """Refuse a lake that a newer release has written, or has begun to migrate.

    Args:
        versions: What is noted in the lake.
        place: Where the lake is.

    Raises:
        LakeTooNew: Says which release wrote it, and the ways out.
    """
    unknown = [each for each in versions if each.number > newest()]
    if not unknown:
        return
    last = unknown[-1]
    backup = unknown[0].backup
    back = f", or restore its backup from before, {backup}, into an empty data folder" if backup else ""
    raise LakeTooNew(
        f"the lake at {place} was written by Millrace {last.release} (version {last.number} of a lake), and "
        f"this is Millrace {own_release()}, which knows version {newest()}: install Millrace {last.release} "
        f"or a newer one{back}"
    )


def require_current(versions: tuple[LakeVersion, ...], place: str) -> None:
    """Refuse a lake that is not at the newest version.

    Args:
        versions: What is noted in the lake.
        place: Where the lake is.

    Raises:
        LakeTooNew: A newer release has written it.
        LakeOutdated: It has to be migrated first.
    """
    require_known(versions, place)
    if (number := number_of(versions)) < newest():
        raise LakeOutdated(
            f"the lake at {place} is at version {number}, and Millrace {own_release()} writes version "
            f"{newest()}: 'millrace up' and 'millrace ingest' migrate it, after a backup"
        )


def note_new(cursor: extensions.cursor) -> None:
    """Note the newest version in a lake that is new."""
    _create(cursor)
    cursor.execute(
        f"insert into {_TABLE} values (%s, 'made', %s, now(), now(), '') on conflict do nothing",
        (newest(), own_release()),
    )


def note_begun(cursor: extensions.cursor, number: int, sentence: str, *, backup: str) -> None:
    """Note that a migration has begun: from now on older releases refuse the lake."""
    _create(cursor)
    cursor.execute(_BEGIN, (number, sentence, own_release(), backup))


def note_done(cursor: extensions.cursor, number: int) -> None:
    """Note that it has ended."""
    cursor.execute(f"update {_TABLE} set done_at = now() where version = %s", (number,))


def note_undone(cursor: extensions.cursor, number: int) -> None:
    """Note that it failed and changed nothing."""
    cursor.execute(f"delete from {_TABLE} where version = %s and done_at is null", (number,))


def _create(cursor: extensions.cursor) -> None:
    cursor.execute("select to_regclass(%s) is null", (_TABLE,))
    if cursor.fetchone() == (True,):
        cursor.execute(_CREATE)
