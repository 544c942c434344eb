"""What is to know for connecting a BI tool: where the marts are, who reads them, how far they are."""

import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import psycopg2

from ingestion.errors import ServingUnavailable
from ingestion.lake.catalog import connect_catalog, process_name
from ingestion.serve.instants import Instant, read_instants
from ingestion.serve.shelf import served_marts
from ingestion.settings import Settings
from orchestration.services.postgres_folder import PORT, READER, PostgresFolder
from orchestration.serving.address import DATABASE, SCHEMA, connect, parameters
from orchestration.serving.publication import wanted_versions
from orchestration.serving.role import password_file

_SERVED = f"""
select mart, max(snapshot), max(fresh_to), max(published_at)
from {SCHEMA}._served group by mart order by mart
"""
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "*": "127.0.0.1"}  # noqa: S104
"""Addresses to listen on that are none to connect to → one that is, on this machine."""


@dataclass(frozen=True)
class Door:
    """How a tool connects; without the password.

    Attributes:
        host: A name, an address, or the folder of a socket.
        port: Of the server.
        database: The database.
        role: Who reads.
        password_file: Where the role's password is, in libpq's format; empty where its owner made the role.
    """

    host: str
    port: int
    database: str
    role: str
    password_file: str

    @property
    def is_socket(self) -> bool:
        """Whether only programs of this machine reach it, by a folder."""
        return self.host.startswith("/")

    @property
    def url(self) -> str:
        """For SQLAlchemy and libpq; the password comes from the file."""
        passfile = f"passfile={quote(self.password_file)}" if self.password_file else ""
        if self.is_socket:
            options = "&".join(filter(None, (f"host={quote(self.host)}", f"port={self.port}", passfile)))
            return f"postgresql://{self.role}@/{self.database}?{options}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        tail = f"?{passfile}" if passfile else ""
        return f"postgresql://{self.role}@{host}:{self.port}/{self.database}{tail}"


@dataclass(frozen=True)
class Shown:
    """A mart in PostgreSQL.

    Attributes:
        mart: Its name, and its table's in the schema `marts`.
        snapshot: The version of the lake that is there; None before the first publication.
        behind: How many versions of the lake its newest instant is ahead; 0 when it is the newest.
        waits_seconds: For how long that instant has been waiting; 0 when nothing waits.
        fresh_to: Time of its newest event.
        published_at: When it was published.
    """

    mart: str
    snapshot: int | None
    behind: int
    waits_seconds: float
    fresh_to: datetime | None
    published_at: datetime | None


def look(settings: Settings) -> tuple[Door, list[Shown]]:
    """Where tools connect, what PostgreSQL shows of each mart, and how far that is behind.

    Raises:
        ServingUnavailable: The database does not answer, or nothing is published.
        CatalogUnavailable: The catalog does not answer.
        ConfigError: MILLRACE_SERVING is not a PostgreSQL URL.
    """
    known = parameters(settings)
    if known is None:
        raise ServingUnavailable(
            "marts are not published: 'millrace up' does it, unless MILLRACE_SERVING is off, or "
            "MILLRACE_CATALOG is set without it"
        )
    marts = {name: mart for name, mart in served_marts(settings.data_dir).items() if mart.published}
    with closing(connect_catalog(settings, application_name=process_name())) as catalog:
        wanted = wanted_versions(marts, read_instants(catalog))
    with closing(connect(settings)) as connection, connection.cursor() as cursor:
        try:
            host, port = _listens(cursor, settings, known)
            there = _published(cursor)
        except psycopg2.Error as error:
            reason = (str(error).strip().splitlines() or ["no answer"])[0]
            raise ServingUnavailable(f"the database for BI tools does not answer ({reason})") from None
    file = password_file(settings)
    where = Door(host, port, known.get("dbname", DATABASE), READER, str(file) if file.exists() else "")
    now = time.time()
    return where, [_shown(name, there.get(name), wanted, now=now) for name in sorted({*marts, *there})]


def _listens(cursor: Any, settings: Settings, known: Mapping[str, str]) -> tuple[str, int]:
    """Host and port for tools: of the embedded server what it was started with."""
    host, port = known.get("host", "localhost"), int(known.get("port", PORT))
    if host != str(PostgresFolder(settings.data_dir / "postgres").socket_folder):
        return host, port
    cursor.execute("select current_setting('listen_addresses'), current_setting('port')::int")
    address, listens_on = cursor.fetchone()
    return (_EVERYWHERE.get(address, address), listens_on) if address else (host, port)


def _published(cursor: Any) -> dict[str, list[Any]]:
    """Mart → version, time of the newest event, when published."""
    cursor.execute(f"select to_regclass('{SCHEMA}._served') is null")
    if cursor.fetchone() == (True,):
        return {}
    cursor.execute(_SERVED)
    return {mart: row for mart, *row in cursor.fetchall()}


def _shown(name: str, row: list[Any] | None, wanted: Mapping[str, Instant], *, now: float) -> Shown:
    snapshot, fresh_to, published_at = row or (None, None, None)
    newest = wanted.get(name)
    behind = max(0, newest.snapshot - (snapshot or 0)) if newest is not None else 0
    waits = max(0.0, now - newest.noted_at) if newest is not None and behind else 0.0
    return Shown(name, snapshot, behind, waits, fresh_to, published_at)
