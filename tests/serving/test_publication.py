"""Marts in PostgreSQL: all at one instant, only what changed, exact, and again after whatever happened."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta

import psycopg2
import pytest
from psycopg2 import extensions

from ingestion.clock import utc_now
from ingestion.errors import ServingUnavailable
from ingestion.faultpoints import install_hook
from ingestion.upkeep.maintenance import Limits, maintain
from ingestion.upkeep.versions import read_versions
from orchestration.records.serving_status import publishing_seconds
from orchestration.serving.role import READER, password_file
from tests.serving.shop import MARTS, Shop, new_shop, reading, secret

pytestmark = pytest.mark.xdist_group("serving")  # one lake for all


@pytest.fixture(scope="module")
def premises(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str]) -> Iterator[Shop]:
    shop = new_shop(tmp_path_factory.mktemp("shop"), new_database)
    yield shop
    shop.close()


@pytest.fixture
def shop(premises: Shop) -> Shop:
    premises.open()
    return premises


@pytest.fixture
def open_for_business(shop: Shop) -> Shop:
    """All is published."""
    shop.build()
    shop.publish()
    return shop


def test_nothing_is_published_before_a_run_has_ended_well(shop: Shop) -> None:
    assert shop.published().versions == {}
    version = shop.build()
    assert shop.published().versions == dict.fromkeys(MARTS, version)
    assert shop.agrees(version)
    assert shop.publish() is None


def test_an_instant_is_published_as_it_was_though_upkeep_has_rewritten_the_mart_since(shop: Shop) -> None:
    version = shop.build(
        "insert into lake.marts.orders select i, if(i % 3 = 0, 'done', null) from range(10, 1500) r(i)",
        "insert into lake.marts.lines select i, null from range(1500) r(i)",
    )
    # The next run has not ended, and upkeep comes: what DuckLake says of the table's values is of now.
    shop.builder.begin(["orders", "lines"])
    shop.do("delete from lake.marts.orders where id >= 5", "delete from lake.marts.lines where note is null")
    limits = Limits(least_files=2, keep_every_snapshot=timedelta(hours=1))
    maintain(shop.lake, [], now=utc_now(), limits=limits)
    assert shop.published().versions == dict.fromkeys(MARTS, version)
    done = len(range(12, 1500, 3))
    assert Counter(state for _, state in shop.rows("orders")) == {"new": 10, "done": done, None: 1490 - done}
    assert shop.rows("totals") == [("done", done), ("new", 10), (None, 1490 - done)]
    assert Counter(note for _, note in shop.rows("lines")) == {"x": 9, None: 1500}


def test_how_long_a_mart_took_to_postgresql_outlives_the_publisher(open_for_business: Shop) -> None:
    shop = open_for_business
    shop.build("insert into lake.marts.orders values (20, 'new')")
    shop.published()
    status = shop.status()
    took = publishing_seconds(status, now=status.looked_at + 3_600)
    assert took.keys() == set(MARTS)
    assert 0 <= max(took.values()) < 3_600
    shop.restart()
    shop.published()
    assert publishing_seconds(shop.status(), now=status.looked_at + 7_200) == took


def test_only_changed_rows_are_written(open_for_business: Shop) -> None:
    shop = open_for_business
    version = shop.build(
        "delete from lake.marts.orders where id in (1, 2, 3)",
        "insert into lake.marts.orders values (1, 'new'), (2, 'sent'), (10, 'new')",
        "delete from lake.marts.lines where part = 0",
        "insert into lake.marts.lines values (0, 'x'), (0, 'y')",
    )
    # 1 went and came unchanged; 2 changed, 3 went, 10 came; two of part 0 went, one came
    assert shop.published().rows == {"orders": 4, "totals": 3, "lines": 3}
    assert shop.agrees(version)


def test_a_reader_sees_one_instant_over_a_publication(open_for_business: Shop) -> None:
    shop = open_for_business
    with reading(shop.settings) as ask:
        assert ask("select sum(orders) from marts.totals") == [(10,)]
        shop.build("insert into lake.marts.orders select i, 'more' from range(100, 150) as r(i)")
        shop.publish()
        shop.build("create or replace table lake.marts.orders as select 1::bigint as id, 'all' as state")
        shop.publish()
        assert ask("select count(*) from marts.orders") == [(10,)]
        assert ask("select count(*) from marts.lines") == [(9,)]
    assert shop.rows("totals") == [("all", 1)]


def test_what_is_half_built_waits(open_for_business: Shop) -> None:
    shop = open_for_business
    before = shop.served()
    shop.builder.begin(["orders", "lines"])
    shop.do("insert into lake.marts.orders values (11, 'half')")
    shop.builder.end(["orders"], snapshot=shop.lake.snapshot_id, shown={})  # `lines` failed
    assert shop.publish() is None
    assert shop.served() == before
    assert shop.status().unfinished.keys() == {"lines"}
    shop.builder.end(["lines"], snapshot=shop.lake.snapshot_id, shown={})
    shop.publish()
    assert shop.agrees(shop.lake.snapshot_id())
    assert not shop.status().unfinished


def test_what_a_killed_run_left_waits_for_the_next(open_for_business: Shop) -> None:
    shop = open_for_business
    before = shop.served()
    shop.builder.begin(["orders", "lines"])
    shop.do("insert into lake.marts.orders values (11, 'half')")
    shop.builder.close()  # it is gone
    shop.builder.end([], snapshot=shop.lake.snapshot_id, shown={})  # a run that built something else
    assert shop.publish() is None
    assert shop.served() == before
    version = shop.build()
    shop.publish()
    assert shop.agrees(version)


def test_new_columns_swap_the_table_and_nobody_sees_it_empty(open_for_business: Shop) -> None:
    shop = open_for_business
    version = shop.build(
        "create or replace table lake.marts.orders as select 7 as id, true as paid, 'x' as state"
    )
    with reading(shop.settings) as ask:
        ask("select 1 from marts.lines")
        with pytest.raises(psycopg2.errors.LockNotAvailable):
            shop.publish()
        assert len(ask("select * from marts.orders")) == 10
    shop.publish()
    assert shop.rows("orders") == [(7, True, "x")]
    assert shop.agrees(version)


def test_a_mart_that_is_gone_is_dropped(open_for_business: Shop) -> None:
    shop = open_for_business
    shop.serve(orders=("id",), lines=())
    shop.publish()
    assert shop.served().keys() == {"orders", "lines"}
    with pytest.raises(psycopg2.errors.UndefinedTable):
        shop.rows("totals")


def test_rows_that_break_their_key_are_published_without_one(open_for_business: Shop) -> None:
    shop = open_for_business
    version = shop.build("insert into lake.marts.orders values (1, 'twice'), (null, 'none')")
    with pytest.raises(ServingUnavailable, match=r"'orders' .* as a whole next"):
        shop.publish()
    shop.publish()
    assert shop.agrees(version)
    version = shop.build("delete from lake.marts.orders where id is null")
    shop.publish()
    assert shop.agrees(version)


def test_what_somebody_else_changed_is_put_right(open_for_business: Shop) -> None:
    shop = open_for_business
    shop.in_serving("delete from marts.orders where id < 5")
    version = shop.build("delete from lake.marts.orders where id = 4")
    with pytest.raises(ServingUnavailable):
        shop.publish()
    shop.publish()
    assert shop.agrees(version)


@pytest.mark.parametrize(
    "place", ["serving.changed", "serving.filled", "serving.written", "serving.committed"]
)
def test_a_publication_that_ends_anywhere_is_resumed(open_for_business: Shop, place: str) -> None:
    shop = open_for_business
    before = shop.served()
    version = shop.build(
        "delete from lake.marts.orders where id = 1", "insert into lake.marts.lines values (7, 'z')"
    )

    def hook(name: str) -> None:
        if name == place:
            raise KeyboardInterrupt

    install_hook(hook)
    try:
        with pytest.raises(KeyboardInterrupt):
            shop.publish()
    finally:
        install_hook(None)
    assert shop.served() == (dict.fromkeys(MARTS, version) if place == "serving.committed" else before)
    shop.restart()
    shop.publish()
    assert shop.agrees(version)


def test_a_schema_that_is_not_ours_is_left_alone(shop: Shop) -> None:
    shop.in_serving("create schema marts", "create table marts.mine (x int)")
    shop.build()
    with pytest.raises(ServingUnavailable, match="'mine' that Millrace did not make"):
        shop.publish()


def test_a_lake_that_was_put_back_is_published_as_a_whole(open_for_business: Shop) -> None:
    shop = open_for_business
    (version,) = set(shop.served().values())
    shop.in_catalog(
        "update ducklake.ducklake_snapshot set snapshot_time = snapshot_time + interval '1 second' "
        f"where snapshot_id = {version}"
    )
    version = shop.build("insert into lake.marts.orders values (99, 'other')")
    assert shop.published().rows["orders"] == 10 + 11
    assert shop.agrees(version)


def test_it_reads_on_over_versions_that_have_expired(open_for_business: Shop) -> None:
    shop = open_for_business
    for number in range(5):
        shop.build(f"insert into lake.marts.orders values ({20 + number}, 'late')")
    version = shop.lake.snapshot_id()
    expired = ", ".join(str(each) for each in range(version - 3, version))
    shop.lake.query(f"call ducklake_expire_snapshots('lake', versions => [{expired}])")
    shop.publish()
    assert shop.agrees(version)


def test_upkeep_keeps_what_is_not_read_yet(open_for_business: Shop) -> None:
    shop = open_for_business
    for number in range(4):
        version = shop.build(f"insert into lake.marts.orders values ({20 + number}, 'late')")
    soon = Limits(keep_every_snapshot=timedelta(0), keep_snapshots=timedelta(0))
    later = utc_now() + timedelta(minutes=90)
    assert maintain(shop.lake, [], now=later, limits=soon).snapshots_expired > 0
    assert shop.published().rows["orders"] == 4
    assert shop.agrees(version)
    first = shop.build("insert into lake.marts.orders values (30, 'later')")
    version = shop.build("insert into lake.marts.orders values (31, 'latest')")
    later = utc_now() + Limits().keep_unread + timedelta(minutes=1)
    maintain(shop.lake, [], now=later, limits=soon)
    assert first not in {number for number, _ in read_versions(shop.lake)}
    shop.publish()
    assert shop.agrees(version)


def test_the_reader_reads_and_does_nothing_else(open_for_business: Shop) -> None:
    shop = open_for_business
    file = password_file(shop.settings)
    assert file.stat().st_mode & 0o777 == 0o600
    parameters = extensions.parse_dsn(secret(shop.settings.serving)) | {"user": READER, "passfile": str(file)}
    reader = psycopg2.connect(**parameters)
    with reader.cursor() as cursor:
        cursor.execute("select count(*) from orders")
        assert cursor.fetchone() == (10,)
        cursor.execute("select count(*) from _served")
        reader.rollback()
        for refused in (
            "delete from orders",
            "create table marts.x (i int)",
            "select * from millrace_serving.published",
        ):
            cursor.execute("set transaction read write")
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(refused)
            reader.rollback()
    reader.close()
