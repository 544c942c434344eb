"""Tables that may stay empty have held a row: DuckLake plans on them as quickly as on others."""

from contextlib import closing

import pytest

from ingestion.errors import MillraceError
from ingestion.faultpoints import install_hook
from ingestion.lake.catalog import connect_catalog, process_name
from ingestion.lake.first_rows import LACKING, MAY_STAY_EMPTY
from ingestion.lake.lake import Lake
from ingestion.lake.tables import is_ready


def lacking(lake: Lake) -> set[str]:
    session = connect_catalog(lake.settings, application_name=process_name())
    with closing(session) as connection, connection.cursor() as cursor:
        cursor.execute(LACKING, {"may_stay_empty": list(MAY_STAY_EMPTY)})
        return {name for (name,) in cursor.fetchall()}


def rows(lake: Lake) -> dict[str, int]:
    return {name: lake.query(f"select count(*) from raw.{name}")[0][0] for name in MAY_STAY_EMPTY}


def ready(lake: Lake) -> bool:
    with closing(connect_catalog(lake.settings, application_name=process_name())) as connection:
        return is_ready(connection, ["s"])


def test_a_new_lake_s_tables_have_held_a_row_and_are_empty(lake: Lake) -> None:
    lake.prepare(["s"])
    assert lacking(lake) == set()
    assert rows(lake) == dict.fromkeys(MAY_STAY_EMPTY, 0)
    assert ready(lake)
    deletes = lake.query("select count(*) from __ducklake_metadata_lake.ducklake.ducklake_delete_file")
    assert deletes == [(0,)], "a file of deletes would have to be flushed"
    before = lake.snapshot_id()
    lake.prepare(["s"])
    assert lake.snapshot_id() == before, "it is done once"


def test_a_lake_of_an_earlier_release_gets_them_beside_its_own_rows(lake: Lake) -> None:
    lake.prepare(["s"])
    lake.query("drop table raw._profiles")
    lake.query("create table raw._profiles (stream varchar, hour timestamptz)")
    lake.query("drop table raw._conflicts")
    lake.query("create table raw._conflicts (table_name varchar, batch_id bigint)")
    lake.query("insert into raw._conflicts values ('kept', 1)")
    assert lacking(lake) == {"_profiles"}
    assert not ready(lake)
    lake.prepare(["s"])
    assert ready(lake)
    assert rows(lake) == dict.fromkeys(MAY_STAY_EMPTY, 0) | {"_conflicts": 1}


@pytest.mark.parametrize("nth", range(1, len(MAY_STAY_EMPTY) + 1))
def test_who_dies_between_the_commits_leaves_nothing_for_good(lake: Lake, nth: int) -> None:
    passed = 0

    def die(name: str) -> None:
        nonlocal passed
        passed += name == "lake.first_row"
        if name == "lake.first_row" and passed == nth:
            raise KeyboardInterrupt

    install_hook(die)
    try:
        with pytest.raises(KeyboardInterrupt):
            lake.prepare(["s"])
    finally:
        install_hook(None)
    assert sum(rows(lake).values()) == 1
    assert not ready(lake)
    lake.prepare(["s"])
    assert ready(lake)
    assert rows(lake) == dict.fromkeys(MAY_STAY_EMPTY, 0)


def test_its_files_are_flushed_before_each_commit(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise MillraceError("the disk refused")

    monkeypatch.setattr("ingestion.lake.first_rows.flush", refuse)
    with pytest.raises(MillraceError, match="refused"):
        lake.prepare(["s"])
    monkeypatch.undo()
    assert lacking(lake) == set(MAY_STAY_EMPTY), "nothing was committed"
