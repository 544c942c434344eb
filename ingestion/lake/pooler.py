"""Finds a connection pooler that gives one client's statements to several sessions: locks do not hold there.

An advisory lock belongs to a session of the server. PgBouncer in transaction mode lends sessions for one
transaction: the lock stays with a session that the next client gets, and its holder does not hold it.
"""

from collections.abc import Callable
from contextlib import closing
from typing import Any

from ingestion.errors import ConfigError

_TRIES = 3


def require_own_session(connection: Any, another: Callable[[], Any]) -> None:
    """Refuse a connection whose statements do not all go to one session of its own.

    A direct connection costs one question: the server's process is the one that it was announced with.

    Args:
        connection: A psycopg2 connection in autocommit mode.
        another: Opens another one like it.

    Raises:
        ConfigError: The session is shared; says what to do.
    """
    if _session(connection) != connection.info.backend_pid and _is_shared(connection, another):
        raise ConfigError(
            "MILLRACE_CATALOG leads to a connection pooler that shares sessions (PgBouncer with pool_mode "
            "transaction or statement), where locks do not hold and two writers could load the same events: "
            "name PostgreSQL itself, or a pool with pool_mode = session"
        )


def _is_shared(connection: Any, another: Callable[[], Any]) -> bool:
    """Whether another client gets our session while we are connected, or we get another one ourselves."""
    ours = _session(connection)
    if any(_session(connection) != ours for _ in range(_TRIES)):  # a pooler that goes round its sessions
        return True
    with closing(another()) as other:
        return _session(other) == ours


def _session(connection: Any) -> int:
    with connection.cursor() as cursor:
        cursor.execute("select pg_backend_pid()")
        return int(cursor.fetchone()[0])
