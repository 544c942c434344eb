"""What the promise rests on in PostgreSQL: settings that let it forget what it has committed. For doctor."""

from collections.abc import Iterator
from typing import Any

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


def durability(connection: Any) -> Iterator[Finding]:
    """Settings of the server, as one of our sessions has them, with which a commit may be forgotten.

    Args:
        connection: A psycopg2 connection to the catalog.
    """
    with connection.cursor() as cursor:
        cursor.execute("select name, setting from pg_settings where name = any(%s)", (list(_PROMISES),))
        settings = dict(cursor.fetchall())
    for name, (wrong, effect) in _PROMISES.items():
        if settings.get(name) == wrong:
            yield Finding(
                "durability", "problem",
                f"PostgreSQL has {name} = {wrong}: {effect}, so that nothing is promised there; set it to on",
            )  # fmt: skip
