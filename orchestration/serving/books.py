"""What the publisher keeps in the database for BI tools: which mart is at which version, and `_served`.

It is written in the transaction that writes the marts: a publication that was cut off leaves nothing behind.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ingestion.errors import ServingUnavailable
from orchestration.serving.address import BESIDE_SCHEMA, OWN_SCHEMA, SCHEMA
from orchestration.serving.delta import Published

SERVED = "_served"

_MAKE = f"""
create schema if not exists {SCHEMA};
create schema {OWN_SCHEMA};
create schema if not exists {BESIDE_SCHEMA};
create table {OWN_SCHEMA}.published (
    mart text primary key,
    snapshot bigint not null,
    snapshot_at timestamptz not null,
    columns text not null,
    key text not null,
    keyed boolean not null,
    described text not null
);
create table {SCHEMA}.{SERVED} (
    mart text not null,
    stream text not null,
    snapshot bigint not null,
    snapshot_at timestamptz not null,
    fresh_to timestamptz,
    complete_to timestamptz,
    published_at timestamptz not null,
    primary key (mart, stream)
);
comment on table {SCHEMA}.{SERVED} is
'What the marts here show. One row per mart and stream it follows from (an empty one if there is none).';
comment on column {SCHEMA}.{SERVED}.mart is 'The mart: a table of this schema.';
comment on column {SCHEMA}.{SERVED}.stream is 'The stream.';
comment on column {SCHEMA}.{SERVED}.snapshot is 'The version of the lake that the mart is read from.';
comment on column {SCHEMA}.{SERVED}.snapshot_at is 'When that version was made, UTC.';
comment on column {SCHEMA}.{SERVED}.fresh_to is
'Time of the newest event of the stream in the mart, as its broker stamped it, UTC.';
comment on column {SCHEMA}.{SERVED}.complete_to is
'Everything of the stream that had come to its broker by then is in the mart, UTC.';
comment on column {SCHEMA}.{SERVED}.published_at is 'When it was published, UTC.';
"""
_TAKEN = f"""
select table_name from information_schema.tables
where table_schema = '{SCHEMA}' and to_regclass('{OWN_SCHEMA}.published') is null limit 1
"""


@dataclass(frozen=True)
class ServedRow:
    """A row of `_served`."""

    mart: str
    stream: str
    snapshot: int
    snapshot_at: datetime
    fresh_to: datetime | None
    complete_to: datetime | None


def begin(cursor: Any) -> dict[str, Published]:
    """Take the turn to publish, make what is missing, and read what is published: mart → how.

    Args:
        cursor: In a transaction that has done nothing yet.

    Raises:
        ServingUnavailable: Another system publishes here, or the schema is somebody else's.
    """
    cursor.execute("select pg_try_advisory_xact_lock(hashtext('millrace serving'))")
    if cursor.fetchone() != (True,):
        raise ServingUnavailable("another process publishes to this database: end it")
    cursor.execute(_TAKEN)
    if row := cursor.fetchone():
        raise ServingUnavailable(
            f"schema '{SCHEMA}' of the database for BI tools has a table '{row[0]}' that Millrace did "
            "not make: name an empty database in MILLRACE_SERVING"
        )
    cursor.execute(f"select to_regclass('{OWN_SCHEMA}.published') is null")
    if cursor.fetchone() == (True,):
        cursor.execute(_MAKE)
    cursor.execute(f"select * from {OWN_SCHEMA}.published")
    return {
        mart: Published(
            int(snapshot),
            at,
            tuple((name, kind) for name, kind in json.loads(columns)),
            tuple(json.loads(key)),
            keyed,
            tuple((name, text) for name, text in json.loads(described)),
        )
        for mart, snapshot, at, columns, key, keyed, described in cursor.fetchall()
    }


def note(cursor: Any, mart: str, published: Published) -> None:
    """Note at which version a mart is."""
    forget(cursor, mart)
    cursor.execute(
        f"insert into {OWN_SCHEMA}.published values (%s, %s, %s, %s, %s, %s, %s)",
        (
            mart,
            published.snapshot,
            published.snapshot_at,
            json.dumps(published.columns),
            json.dumps(published.key),
            published.keyed,
            json.dumps(published.described),
        ),
    )


def forget(cursor: Any, mart: str) -> None:
    """Note that a mart is not published."""
    cursor.execute(f"delete from {OWN_SCHEMA}.published where mart = %s", (mart,))


def write_served(cursor: Any, marts: Iterable[str], rows: Iterable[ServedRow]) -> None:
    """Replace what `_served` says of some marts.

    Args:
        cursor: Of the publication.
        marts: Whose rows go.
        rows: The new ones.
    """
    cursor.execute(f"delete from {SCHEMA}.{SERVED} where mart = any(%s)", ([*marts],))
    for row in rows:
        cursor.execute(
            f"insert into {SCHEMA}.{SERVED} values (%s, %s, %s, %s, %s, %s, now())",
            (row.mart, row.stream, row.snapshot, row.snapshot_at, row.fresh_to, row.complete_to),
        )
