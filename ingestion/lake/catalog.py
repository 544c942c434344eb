"""The PostgreSQL server behind the lake, spoken to directly: connections, writer locks, fencing.

Lake data does not pass here (lake.py). Why locks need fencing: docs/delivery.md.
"""

import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psycopg2
import psycopg2.errors
from psycopg2 import extensions
from psycopg2.extensions import make_dsn, parse_dsn

from ingestion.data_folder import demo_has_ended, demo_hint
from ingestion.errors import CatalogUnavailable, ConfigError, MillraceError, StreamBusy
from ingestion.faultpoints import faultpoint
from ingestion.lake.limits import NETWORK_LIMITS, SERVER_LIMITS
from ingestion.lake.pooler import require_own_session
from ingestion.lake.versions import read_versions, require_known
from ingestion.settings import Settings

_LOCK_SPACE = 0x4D494C4C  # "MILL": keeps our advisory locks apart from other users' of the database
_LOCK_SECONDS = 3
_TRY_PREPARATION = "select pg_try_advisory_lock(hashtext('millrace prepare'))"
_AGAIN_SECONDS = 0.05

_CREATE_WRITERS = """
create schema if not exists millrace;
create table if not exists millrace.writers (
    stream text primary key,
    application_name text not null,
    since timestamptz not null default now()
);
create table if not exists millrace.unfinished (
    model text not null,
    builder text not null,
    since timestamptz not null default now(),
    primary key (model, builder)
);
create table if not exists millrace.instants (
    stream text primary key,
    snapshot bigint not null,
    noted_at timestamptz not null,
    shown text not null
);
create table if not exists millrace.consumers (
    name text primary key,
    snapshot bigint not null,
    read_at timestamptz not null
)
"""
"""Who writes which stream; which models are being built, the versions at which all were (serve/instants.py);
and how far those have read that keep versions of the lake (serve/consumers.py)."""


def process_name() -> str:
    """A name for this process as a database client, unique among all processes that ever were.

    PostgreSQL keeps 63 characters of an application name.
    """
    return f"millrace {socket.gethostname()[:24]} {os.getpid()} {secrets.token_hex(6)}"


def no_catalog(settings: Settings) -> CatalogUnavailable:
    """The error for a folder on which nothing runs."""
    if demo_has_ended(settings.data_dir):
        return CatalogUnavailable(
            f"the demo on {settings.data_dir} has ended: 'millrace demo' runs a new one; for streams of your "
            "own, 'millrace new' makes a project and 'millrace up' runs it"
        )
    return CatalogUnavailable(
        f"no lake is running on {settings.data_dir}: start one with 'millrace up', "
        f"or name a PostgreSQL in MILLRACE_CATALOG{demo_hint(settings.data_dir)}"
    )


def catalog_parameters(settings: Settings) -> dict[str, str]:
    """The catalog's libpq parameters (host, dbname, user …), with limits for a dead network.

    Raises:
        CatalogUnavailable: No catalog is configured and no embedded one is running.
        ConfigError: MILLRACE_CATALOG is not a PostgreSQL URL.
    """
    if settings.catalog is None:
        raise no_catalog(settings)
    try:
        given = parse_dsn(settings.catalog.get_secret_value()).items()
    except psycopg2.ProgrammingError:
        raise ConfigError(
            "MILLRACE_CATALOG is not a PostgreSQL URL; write postgresql://user:password@host:5432/database"
        ) from None
    return {**NETWORK_LIMITS, **{key: str(value) for key, value in given}}


Connection = extensions.connection


def connect_catalog(settings: Settings, *, application_name: str) -> Connection:
    """Open a connection to the catalog's database, in autocommit mode.

    Raises:
        CatalogUnavailable: The server is away or refuses the credentials.
    """
    parameters = catalog_parameters(settings)
    try:
        connection = psycopg2.connect(make_dsn(**(parameters | {"application_name": application_name})))
    except psycopg2.OperationalError as error:
        raise CatalogUnavailable(_explain(parameters, str(error))) from None
    connection.autocommit = True
    return connection


def lock_session(settings: Settings, *, application_name: str) -> Connection:
    """Open a connection whose session may hold locks until it is closed.

    Raises:
        CatalogUnavailable: The server is away or refuses the credentials.
        ConfigError: A pooler in between shares sessions, so that locks do not hold.
    """
    connection = connect_catalog(settings, application_name=application_name)
    try:
        faultpoint("catalog.connected")
        with answered(settings):
            require_own_session(
                connection, lambda: connect_catalog(settings, application_name=application_name)
            )
            with connection.cursor() as cursor:
                cursor.execute(SERVER_LIMITS)
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def answered(settings: Settings) -> Iterator[None]:
    """Around statements of an open connection: what a server that goes away under one of them means.

    Raises:
        CatalogUnavailable: The session has ended, or the server does not answer in time.
    """
    try:
        yield
    except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
        raise CatalogUnavailable(_explain(catalog_parameters(settings), str(error))) from None


def require_answer(connection: Connection, *, within_seconds: float) -> None:
    """Ask an open connection something.

    Args:
        connection: Of the catalog, in autocommit mode.
        within_seconds: How long the server may take.

    Raises:
        CatalogUnavailable: It does not answer; the connection is of no use any more.
    """
    try:
        with connection.cursor() as cursor:
            cursor.execute("select set_config('statement_timeout', %s, false)", (f"{within_seconds:.0f}s",))
    except psycopg2.Error as error:
        why = (str(error).strip().splitlines() or ["no answer"])[0]
        raise CatalogUnavailable(f"the catalog does not answer ({why})") from None


def _explain(parameters: dict[str, str], reason: str) -> str:
    where = f"{parameters.get('host', 'localhost')}/{parameters.get('dbname', '')}"
    if "authentication failed" in reason or "no password supplied" in reason:
        return f"the catalog at {where} refuses user '{parameters.get('user', '')}': correct MILLRACE_CATALOG"
    first = reason.strip().splitlines()[0] if reason.strip() else "no answer"
    return f"the catalog at {where} cannot be reached ({first}): is it running, is MILLRACE_CATALOG right?"


def prepare_catalog(connection: extensions.connection) -> None:
    """Create what is kept beside the lake: locks, instants, consumers. Harmless when it exists."""
    with connection.cursor() as cursor:
        cursor.execute("select pg_advisory_lock(%s, 0)", (_LOCK_SPACE,))
        try:
            create_beside_lake(cursor)
        finally:
            cursor.execute("select pg_advisory_unlock(%s, 0)", (_LOCK_SPACE,))


def create_beside_lake(cursor: extensions.cursor) -> None:
    """The same, of somebody who is alone with the database."""
    cursor.execute(_CREATE_WRITERS)


def lock_preparation(cursor: extensions.cursor) -> None:
    """Wait until no other process prepares or migrates the lake; held until the session ends.

    A migration may take long. A process that waited for it within a query would not hear of Ctrl-C meanwhile.
    """
    cursor.execute(_TRY_PREPARATION)
    while cursor.fetchone() != (True,):
        time.sleep(_AGAIN_SECONDS)
        cursor.execute(_TRY_PREPARATION)


@dataclass
class WriterLock:
    """The right to write one stream, held as long as its database session lives.

    Attributes:
        stream: The stream's name.
        connection: The session.
        committing: A commit was begun under it: whoever fails from then on may have it under way still.
    """

    stream: str
    connection: extensions.connection
    committing: bool = False

    def assert_held(self) -> None:
        """Called right before a commit: raise StreamBusy when the session, and with it the lock, is gone."""
        self.committing = True
        try:
            with self.connection.cursor() as cursor:
                cursor.execute("select 1")
        except psycopg2.Error:
            raise StreamBusy(
                f"the writer lock of stream '{self.stream}' was lost with its database session; the batch "
                "stops before its commit and the next one reads the same events again"
            ) from None


@contextmanager
def writer_lock(settings: Settings, stream: str, *, application_name: str) -> Iterator[WriterLock]:
    """Hold a stream's writer lock; at most one process on any host does.

    A holder that died may have left a commit under way in the server. Its name is in
    millrace.writers, so its sessions are ended before anything is read: after this, no
    load of this stream can appear that the caller does not know of.

    Args:
        settings: Where the catalog is.
        stream: The stream's name.
        application_name: Under which the caller's *own* lake connection writes (see process_name).

    Raises:
        CatalogUnavailable: The server is away, or goes away before the lock is held.
        StreamBusy: Somebody else holds it; says who.
        LakeTooNew: A newer release has written the lake since this process opened it.
    """
    connection = lock_session(settings, application_name=application_name)
    try:
        faultpoint("catalog.session")
        with answered(settings), connection.cursor() as cursor:
            if not _locked_in_time(cursor, stream):
                cursor.execute(
                    "select application_name, since from millrace.writers where stream = %s", (stream,)
                )
                row = cursor.fetchone()
                who = f"'{row[0]}' since {row[1]:%Y-%m-%d %H:%M:%S} UTC" if row else "another process"
                raise StreamBusy(f"stream '{stream}' is being written by {who}; wait for it or stop it")
            require_known(read_versions(cursor), settings.resolved_lake_path)
            _fence(cursor, stream, application_name)
            cursor.execute(
                "insert into millrace.writers (stream, application_name) values (%s, %s) "
                "on conflict (stream) do update "
                "set application_name = excluded.application_name, since = now()",
                (stream, application_name),
            )
        lock = WriterLock(stream, connection)
        try:
            yield lock
        except MillraceError:
            if not lock.committing:  # else the next holder would end what we do for other streams
                _leave(connection, stream)
            raise
        _leave(connection, stream)
    finally:
        connection.close()


def _leave(connection: extensions.connection, stream: str) -> None:
    with suppress(psycopg2.Error), connection.cursor() as cursor:
        cursor.execute("delete from millrace.writers where stream = %s", (stream,))


def _locked_in_time(cursor: extensions.cursor, stream: str) -> bool:
    """Take the lock, waiting a little: a session outlives its killed client by a moment."""
    cursor.execute("set lock_timeout = %s", (f"{_LOCK_SECONDS}s",))
    try:
        cursor.execute("select pg_advisory_lock(%s, hashtext(%s))", (_LOCK_SPACE, stream))
    except psycopg2.errors.LockNotAvailable:
        return False
    return True


def _fence(cursor: extensions.cursor, stream: str, application_name: str) -> None:
    """End what a dead holder left in the server, and wait until it is gone."""
    cursor.execute(
        "select application_name from millrace.writers where stream = %s and application_name <> %s",
        (stream, application_name),
    )
    row = cursor.fetchone()
    if row is None:
        return
    cursor.execute(
        "select count(pg_terminate_backend(pid, 10000)) from pg_stat_activity "
        "where application_name = %s and pid <> pg_backend_pid()",
        (row[0],),
    )
    cursor.execute("select count(*) from pg_stat_activity where application_name = %s", (row[0],))
    if _scalar(cursor):
        raise StreamBusy(
            f"stream '{stream}' still has sessions of its last writer '{row[0]}' that do not end; "
            "end them with pg_terminate_backend and try again"
        )


def _scalar(cursor: extensions.cursor) -> int:
    row = cursor.fetchone()
    return int(row[0]) if row else 0
