"""Dagster's records in PostgreSQL, over connections that are kept."""

from collections.abc import Iterator

import pytest
from dagster import DagsterInstance, MaterializeResult, asset, materialize
from sqlalchemy import event

from ingestion.settings import Settings
from orchestration.system.instance import dagster_environment, prepare_instance


@pytest.fixture
def instance(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[DagsterInstance]:
    for name, value in dagster_environment(settings).items():
        monkeypatch.setenv(name, value)
    with DagsterInstance.from_config(str(prepare_instance(settings))) as instance:
        yield instance


def test_events_of_assets_are_written_over_connections_that_are_open(instance: DagsterInstance) -> None:
    @asset
    def made() -> MaterializeResult:
        return MaterializeResult(tags={"a": "b"})

    assert materialize([made], instance=instance).success
    opened: list[object] = []
    event.listen(instance.event_log_storage._engine, "connect", lambda *_: opened.append(1))
    assert materialize([made], instance=instance).success
    assert opened == []
    assert len(instance.fetch_materializations(made.key, limit=5).records) == 2


def test_a_table_that_is_made_later_is_found_then(instance: DagsterInstance) -> None:
    storage = instance.event_log_storage
    assert storage.has_table("event_logs")
    assert not storage.has_table("made_later")
    with storage.index_connection() as connection:
        connection.exec_driver_sql("create table made_later (a int)")
    assert storage.has_table("made_later")
