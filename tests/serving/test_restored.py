"""A restored lake is published as soon as the system runs, as its last instant was: no build is needed."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ingestion.backup.backup import back_up, restore
from ingestion.clock import utc_now
from ingestion.errors import BackupError
from ingestion.serve.instants import unfinished_models
from ingestion.settings import load_settings
from tests.serving.shop import MARTS, Shop, new_shop

pytestmark = pytest.mark.xdist_group("serving")  # a server has one role for readers
_INSTANTS = Path("catalog") / "instants.json"


@pytest.fixture
def shop(tmp_path: Path, new_database: Callable[[], str]) -> Iterator[Shop]:
    shop = new_shop(tmp_path / "shop", new_database)
    shop.open()
    yield shop
    shop.close()


def restored(folder: Path, backup: Path, new_database: Callable[[], str], *, like: Shop) -> Shop:
    """The backup in places of its own, with marts declared as before and an empty database for BI tools."""
    settings = load_settings(data_dir=folder, catalog=new_database(), serving=new_database())
    restore(settings, backup)
    again = Shop(settings)
    again.serve(orders=("id",), totals=(), lines=())
    assert set(like.served()) == set(MARTS)
    return again


def test_the_marts_of_a_restored_lake_are_published_without_a_build(
    shop: Shop, tmp_path: Path, new_database: Callable[[], str]
) -> None:
    version = shop.build("insert into lake.marts.orders values (20, 'new')")
    shop.published()
    shop.builder.begin(["orders"])  # a run that is under way while the backup is taken
    shop.do("delete from lake.marts.orders")
    backup = back_up(shop.settings, tmp_path / "backups", now=utc_now()).folder
    again = restored(tmp_path / "again", backup, new_database, like=shop)
    try:
        assert again.published().versions == dict.fromkeys(MARTS, version)
        assert again.agrees(version), "as it was when its checks had passed, not as the run has left it"
        assert (20, "new") in again.rows("orders")
        assert set(unfinished_models(again.publisher._listening())) == {"orders"}
        assert again.publish() is None
        newer = again.build("insert into lake.marts.orders values (21, 'new')")
        assert again.published().versions == dict.fromkeys(MARTS, newer)
        assert again.rows("orders") == [(21, "new")]
    finally:
        again.close()


def test_a_database_for_bi_tools_that_is_ahead_goes_back_with_the_lake(
    shop: Shop, tmp_path: Path, new_database: Callable[[], str]
) -> None:
    version = shop.build()
    shop.published()
    backup = back_up(shop.settings, tmp_path / "backups", now=utc_now()).folder
    shop.build("insert into lake.marts.orders values (30, 'lost')")
    shop.published()
    settings = load_settings(
        data_dir=tmp_path / "again", catalog=new_database(), serving=shop.settings.serving
    )
    restore(settings, backup)
    again = Shop(settings)
    again.serve(orders=("id",), totals=(), lines=())
    try:
        assert again.published().versions == dict.fromkeys(MARTS, version)
        assert again.agrees(version)
    finally:
        again.close()


def test_a_backup_without_instants_is_restored_and_a_damaged_one_refused(
    shop: Shop, tmp_path: Path, new_database: Callable[[], str]
) -> None:
    shop.build()
    shop.published()
    backup = back_up(shop.settings, tmp_path / "backups", now=utc_now()).folder
    (backup / _INSTANTS).write_text(json.dumps({"instants": 1}))
    with pytest.raises(BackupError, match="damaged"):
        restored(tmp_path / "damaged", backup, new_database, like=shop)
    (backup / _INSTANTS).unlink()
    again = restored(tmp_path / "older", backup, new_database, like=shop)
    try:
        assert again.published().versions == {}, "nobody knows which version had passed its checks"
        newer = again.build()
        assert again.published().versions == dict.fromkeys(MARTS, newer)
    finally:
        again.close()
