"""The role of BI tools: it reads marts and nothing else, with its password in a file of the data folder."""

import os
import secrets
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql

from ingestion.durable import make_folder
from ingestion.settings import Settings
from orchestration.services.postgres_folder import READER
from orchestration.serving.address import BESIDE_SCHEMA, SCHEMA

_IDLE = "5min"


def password_file(settings: Settings) -> Path:
    """Where the reader's password is; libpq reads it as a passfile."""
    return settings.data_dir / "serving" / "reader.pgpass"


def prepare_reader(connection: Any, settings: Settings) -> None:
    """Make the role if it is missing and may be made, give it a password, and let it read what will be there.

    A reader that leaves a transaction open is ended after five minutes: tables could not be replaced else.

    Args:
        connection: To the database for BI tools; commits.
        settings: Name the data folder.

    Raises:
        psycopg2.Error: The database refuses.
        OSError: The password cannot be written.
    """
    with connection, connection.cursor() as cursor:
        password = _made(cursor, password_file(settings))
    if password is not None:  # only now does the role have it; a crash in between makes another next time
        _write(password_file(settings), f"*:*:*:{READER}:{password}\n")


def _made(cursor: psycopg2.extensions.cursor, file: Path) -> str | None:
    """The role is there and may read; its new password, None if it keeps the one in the file."""
    cursor.execute("select pg_advisory_xact_lock(hashtext('millrace reader'))")
    for schema in (SCHEMA, BESIDE_SCHEMA):
        cursor.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(schema)))
    cursor.execute("select 1 from pg_roles where rolname = %s", (READER,))
    is_there = cursor.fetchone() is not None
    if is_there and file.exists():
        _grant(cursor)
        return None
    cursor.execute("select rolcreaterole or rolsuper from pg_roles where rolname = current_user")
    if cursor.fetchone() != (True,):
        if is_there:
            _grant(cursor)
        return None
    password = secrets.token_urlsafe(24)
    verb = "alter" if is_there else "create"
    cursor.execute(
        sql.SQL(f"{verb} role {{}} login password {{}}").format(sql.Identifier(READER), sql.Literal(password))
    )
    for setting in (
        f"idle_in_transaction_session_timeout = '{_IDLE}'",
        "default_transaction_read_only = on",
        f"search_path = {SCHEMA}",
    ):
        cursor.execute(sql.SQL(f"alter role {{}} set {setting}").format(sql.Identifier(READER)))
    _grant(cursor)
    return password


def _grant(cursor: psycopg2.extensions.cursor) -> None:
    role = sql.Identifier(READER)
    cursor.execute("select current_database()")
    (database,) = cursor.fetchone() or ("",)
    cursor.execute(sql.SQL("grant connect on database {} to {}").format(sql.Identifier(database), role))
    cursor.execute(sql.SQL("grant usage on schema {} to {}").format(sql.Identifier(SCHEMA), role))
    for schema in (SCHEMA, BESIDE_SCHEMA):
        cursor.execute(
            sql.SQL("alter default privileges in schema {} grant select on tables to {}").format(
                sql.Identifier(schema), role
            )
        )
    cursor.execute(
        sql.SQL("grant select on all tables in schema {} to {}").format(sql.Identifier(SCHEMA), role)
    )


def _write(path: Path, text: str) -> None:
    make_folder(path.parent)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
