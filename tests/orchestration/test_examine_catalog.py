"""`doctor` on a real PostgreSQL: one that was set so that it may forget commits, and its clock."""

import time
from contextlib import closing

import psycopg2
import pytest

from ingestion.settings import Settings
from orchestration.cli import examine_catalog
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


def test_clocks_that_are_apart_are_a_problem(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def said_of_clocks() -> list[str]:
        found = [each for each in catalog(settings) if each.part == "clock"]
        return [f"{each.state}: {each.message}" for each in found]

    assert said_of_clocks() == ["ok: the clocks of this machine and of PostgreSQL agree"]
    real = time.time
    monkeypatch.setattr(examine_catalog.time, "time", lambda: real() + 3 * 3_600)
    (wrong,) = said_of_clocks()
    assert wrong.startswith("problem: the clocks of this machine and of PostgreSQL are 3 h apart")
    monkeypatch.setattr(examine_catalog.time, "time", lambda: real() - 60)
    assert said_of_clocks()[0].startswith("problem")
