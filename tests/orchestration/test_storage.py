"""Dagster's records in PostgreSQL, over connections that are kept."""

from dagster import DagsterInstance, MaterializeResult, asset, materialize
from sqlalchemy import event


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
