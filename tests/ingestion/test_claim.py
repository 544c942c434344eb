"""A lake's folder belongs to one catalog, whoever comes first; nobody else writes there."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import psycopg2
import pytest
from dbt.adapters.duckdb.credentials import Attachment
from dbt_common.exceptions import DbtRuntimeError
from pydantic import SecretStr

from ingestion.backup.backup import back_up, restore
from ingestion.errors import LakeClaimed, MillraceError
from ingestion.faultpoints import install_hook
from ingestion.lake import claim
from ingestion.lake.claim import CLAIM_FILE, claim_lake
from ingestion.lake.lake import Lake
from ingestion.settings import Settings
from orchestration.dbt import attaching

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def marker(settings: Settings) -> Path:
    return Path(settings.resolved_lake_path) / CLAIM_FILE


def prepared(settings: Settings) -> Settings:
    with Lake(settings) as lake:
        lake.prepare(["events"])
    return settings


@pytest.fixture
def other(settings: Settings, new_database: Callable[[], str]) -> Settings:
    """Another system with the same lake path."""
    return settings.model_copy(update={"catalog": SecretStr(new_database())})


def test_a_second_system_on_the_path_is_refused_before_it_makes_anything(
    settings: Settings, other: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared(settings)
    assert marker(settings).parent.stat().st_mode & 0o777 == 0o700
    sentence = (
        "belongs to another lake, whose catalog is database 'test_.*: name another folder in .*, delete "
    )
    with Lake(other) as lake:
        with pytest.raises(LakeClaimed, match=sentence):
            lake.prepare(["events"])
        with pytest.raises(LakeClaimed, match=sentence):
            lake.query("select 1")
    assert "tables" not in read(other, "select 'tables' from pg_namespace where nspname = 'ducklake'")
    monkeypatch.setattr(attaching, "load_settings", lambda: other)
    plugin = object.__new__(attaching.Plugin)
    plugin.creds = type("Creds", (), {"attach": [Attachment(path="ducklake:millrace")]})()
    with pytest.raises(DbtRuntimeError, match=sentence):
        plugin.configure_connection(None)  # type: ignore[arg-type]
    prepared(settings)


def test_the_remedy_of_the_sentence_works_and_a_damaged_marker_is_never_taken_for_none(
    settings: Settings, other: Settings
) -> None:
    prepared(settings)
    for content in ("", "{", "[]", '{"lake": "x"}'):
        marker(settings).write_text(content)
        for system in (settings, other):
            with pytest.raises(LakeClaimed, match="damaged: restore it, or delete it if no other lake"):
                claim_lake(system)
    marker(settings).unlink()
    prepared(other)
    with pytest.raises(LakeClaimed):
        prepared(settings)


def test_a_crash_between_the_catalog_and_the_marker_heals(
    settings: Settings, other: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(claim, "_mark", crash)
        with pytest.raises(KeyboardInterrupt):
            prepared(settings)
    assert not marker(settings).exists()
    marker(settings).with_name(f"{CLAIM_FILE}.left").write_text("{")
    prepared(settings)
    ((identity,),) = read(settings, "select id::text from millrace.lake")
    assert json.loads(marker(settings).read_text())["lake"] == identity
    with pytest.raises(LakeClaimed):
        claim_lake(other)


def test_an_older_lake_is_claimed_by_its_next_writer_and_readers_never_ask(
    settings: Settings, other: Settings
) -> None:
    prepared(settings)
    marker(settings).unlink()
    with Lake(settings, read_only=True) as lake:
        lake.query("select * from raw.events")
    assert not marker(settings).exists()
    prepared(settings)
    assert marker(settings).exists()


def test_of_two_that_claim_a_path_at_once_one_is_refused(
    settings: Settings, other: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = claim._mark

    def slower(*arguments: object) -> None:
        monkeypatch.setattr(claim, "_mark", mark)
        claim_lake(other)
        mark(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(claim, "_mark", slower)
    with pytest.raises(LakeClaimed):
        claim_lake(settings)
    claim_lake(other)


def test_a_restored_lake_has_a_claim_of_its_own_also_when_the_restore_was_killed(
    settings: Settings, tmp_path: Path, new_database: Callable[[], str]
) -> None:
    source = back_up(prepared(settings), tmp_path / "backups", now=NOON).folder
    there = settings.model_copy(update={"data_dir": tmp_path / "new", "catalog": SecretStr(new_database())})

    def killed(place: str) -> None:
        if place == "restore.files":
            raise KeyboardInterrupt

    install_hook(killed)
    try:
        with pytest.raises(KeyboardInterrupt):
            restore(there, source)
    finally:
        install_hook(None)
    thief = there.model_copy(update={"catalog": SecretStr(new_database())})
    with pytest.raises(MillraceError, match="belongs to another lake"):
        restore(thief, source)
    restore(there, source)
    assert prepared(there)
    claims = [json.loads(marker(each).read_text())["lake"] for each in (settings, there)]
    assert claims[0] != claims[1]
    prepared(settings)


def read(settings: Settings, query: str) -> list[tuple[object, ...]]:
    assert settings.catalog is not None
    connection = psycopg2.connect(settings.catalog.get_secret_value())
    try:
        with connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()
    finally:
        connection.close()
