"""What the promise rests on in PostgreSQL, for doctor: settings that let it forget commits, and its clock."""

import time
from collections.abc import Iterator
from typing import Any

from ingestion.connectors.durability import span
from ingestion.connectors.port import Finding

_PROMISES = {
    "fsync": ("off", "a crash of that machine can destroy the whole catalog"),
    "full_page_writes": ("off", "a power failure can damage pages of the catalog"),
    "synchronous_commit": (
        "off",
        "a crash forgets the last commits, and their batches are read again or lost",
    ),
}
"""Setting → the value that breaks the promise, and what may happen then."""
_APART_SECONDS = 5.0


def durability(connection: Any) -> Iterator[Finding]:
    """Settings of the server, as one of our sessions has them, with which a commit may be forgotten.

    Args:
        connection: A psycopg2 connection to the catalog.
    """
    with connection.cursor() as cursor:
        cursor.execute("select name, setting from pg_settings where name = any(%s)", (list(_PROMISES),))
        settings = dict(cursor.fetchall())
    broken = [name for name, (wrong, _) in _PROMISES.items() if settings.get(name) == wrong]
    if not broken:
        yield Finding(
            "durability", "ok", f"PostgreSQL forgets no commit: {', '.join(_PROMISES)} are in force"
        )
    for name, (wrong, effect) in _PROMISES.items():
        if name in broken:
            yield Finding(
                "durability", "problem",
                f"PostgreSQL has {name} = {wrong}: {effect}, so that nothing is promised there; set it to on",
            )  # fmt: skip


def clock(connection: Any) -> Iterator[Finding]:
    """Whether its clock and this machine's agree.

    Args:
        connection: A psycopg2 connection to the catalog.
    """
    with connection.cursor() as cursor:
        before = time.time()
        cursor.execute("select extract(epoch from clock_timestamp())")
        ((theirs,),) = cursor.fetchall()
        after = time.time()
    apart = max(before - float(theirs), float(theirs) - after, 0.0)
    if apart > _APART_SECONDS:
        yield Finding(
            "clock", "problem",
            f"the clocks of this machine and of PostgreSQL are {span(apart)} apart: ages, freshness and what "
            "is deleted by its age are wrong by that; let both follow one time service (chrony, NTP)",
        )  # fmt: skip
    else:
        yield Finding("clock", "ok", "the clocks of this machine and of PostgreSQL agree")
