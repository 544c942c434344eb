"""`doctor` on a real PostgreSQL that was set so that it may forget commits."""

from contextlib import closing

import psycopg2

from ingestion.settings import Settings
from orchestration.cli.examinations import catalog


def test_a_server_that_forgets_commits_is_a_problem(settings: Settings) -> None:
    """The tests' own server gives up two of them for speed; the third one a database may have for itself."""
    assert settings.catalog is not None
    assert said(settings) == {"fsync", "full_page_writes"}
    with closing(psycopg2.connect(settings.catalog.get_secret_value())) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("select current_database()")
            (name,) = cursor.fetchone() or ("",)
            cursor.execute(f'alter database "{name}" set synchronous_commit = off')
    assert said(settings) == {"fsync", "full_page_writes", "synchronous_commit"}
    with closing(psycopg2.connect(settings.catalog.get_secret_value())) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f'alter database "{name}" set synchronous_commit = on')
    assert said(settings) == {"fsync", "full_page_writes"}


def said(settings: Settings) -> set[str]:
    """The settings that doctor finds wrong."""
    problems = [finding.message for finding in catalog(settings) if finding.state == "problem"]
    return {message.split(" = off")[0].rpartition(" ")[2] for message in problems}
