"""Marts that are read by programs: whole, page by page, what has changed; exact in each notation."""

import csv
import io
import json
import math
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from ingestion.connectors.marts import MartAnswer, MartRefused, Wanted
from ingestion.lake.lake import Lake
from ingestion.serve.reader import LakeAnswer, LakeMartReader
from ingestion.serve.shelf import Mart, note_shown, write_served
from ingestion.settings import load_settings

VALUES = """
    select
        9007199254740993::bigint as big, 12345678901234567.89::decimal(38, 2) as money, -1::integer as small,
        'nan'::double as no_number, '-infinity'::double as least, 0.1::double as tenth,
        null::double as nothing,
        timestamptz '2026-03-29 01:30:00.123456+00' as at_utc, timestamp '2026-03-29 02:30:00' as at_wall,
        date '2026-02-28' as day, time '23:59:59.999999' as clock, true as flag,
        '' as empty, null::varchar as none,
        'a"b,\n=1' as text, '\\xff\\x00'::blob as bytes, [1::bigint, null] as many,
        {'x': 'inf'::double, 'y': [date '2026-01-01']} as inside,
        uuid '0198a2f0-0000-7000-8000-000000000001' as id
"""


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str]) -> Iterator[Lake]:
    """One for all tests; each makes its marts."""
    with Lake(load_settings(data_dir=tmp_path_factory.mktemp("lake"), catalog=new_database())) as lake:
        lake.prepare([])
        yield lake


@pytest.fixture
def marts(lake: Lake) -> Iterator[LakeMartReader]:
    """Served: `orders`, a table; `totals`, a view of it; `exact`; `late`, not built. Not: `secret`."""
    for sql in (
        "drop schema if exists marts cascade",
        "create schema marts",
        "create table marts.orders as select i as id, 'a' || i as state from range(10) as r(i)",
        "create view marts.totals as select state, count(*) as n from marts.orders group by state",
        f"create view marts.exact as {VALUES}",
        "create table marts.secret as select 1 as x",
    ):
        lake.connection.execute(sql)
    served = [Mart(name, "marts", name, ("s",)) for name in ("orders", "totals", "exact", "late")]
    write_served(lake.settings.data_dir, served)
    reader = LakeMartReader(lake.settings)
    yield reader
    reader.close()


def body(answer: MartAnswer) -> bytes:
    try:
        return b"".join(iter(answer.next, b""))
    finally:
        answer.close()


def asked(marts: LakeMartReader, mart: str, **wanted: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(body(marts.open(Wanted(mart, "json", **wanted))))
    return found


def refused(marts: LakeMartReader, mart: str, **wanted: Any) -> tuple[str, str]:
    with pytest.raises(MartRefused) as caught:
        marts.open(Wanted(mart, "json", **wanted))
    return caught.value.reason, str(caught.value)


def test_json_loses_nothing(marts: LakeMartReader) -> None:
    found = asked(marts, "exact")
    assert found["rows"] == [
        {
            "big": "9007199254740993", "money": "12345678901234567.89", "small": -1, "no_number": "NaN",
            "least": "-Infinity", "tenth": 0.1, "nothing": None, "at_utc": "2026-03-29T01:30:00.123456Z",
            "at_wall": "2026-03-29T02:30:00.000000", "day": "2026-02-28", "clock": "23:59:59.999999",
            "flag": True, "empty": "", "none": None, "text": 'a"b,\n=1', "bytes": "/wA=", "many": ["1", None],
            "inside": {"x": "Infinity", "y": ["2026-01-01"]}, "id": "0198a2f0-0000-7000-8000-000000000001",
        }
    ]  # fmt: skip
    types = {column["name"]: column["type"] for column in found["columns"]}
    assert types["big"] == "BIGINT"
    assert types["money"] == "DECIMAL(38,2)"
    assert types["at_utc"] == "TIMESTAMP WITH TIME ZONE"
    assert types["inside"] == "STRUCT(x DOUBLE, y DATE[])"


def test_csv_loses_nothing_and_knows_null_from_an_empty_text(marts: LakeMartReader) -> None:
    text = body(marts.open(Wanted("exact", "csv"))).decode()
    (row,) = csv.DictReader(io.StringIO(text, newline=""))
    assert row["big"], row["money"] == ("9007199254740993", "12345678901234567.89")
    assert [row[name] for name in ("no_number", "least", "tenth")] == ["NaN", "-Infinity", "0.1"]
    assert [row["at_utc"], row["at_wall"]] == ["2026-03-29T01:30:00.123456Z", "2026-03-29T02:30:00.000000"]
    assert [row["text"], row["bytes"], row["many"]] == ['a"b,\n=1', "/wA=", '["1",null]']
    assert text.split("\r\n")[0].startswith("big,money,small,")
    assert ',"",,"a""b' in text  # empty, then null


def test_arrow_has_the_lakes_own_types(marts: LakeMartReader, lake: Lake) -> None:
    with pa.ipc.open_stream(body(marts.open(Wanted("exact", "arrow")))) as stream:
        table = stream.read_all()
    assert table.schema.field("money").type == pa.decimal128(38, 2)
    assert table.schema.field("big").type == pa.int64()
    assert str(table.schema.field("at_utc").type).startswith("timestamp[us, tz=")
    (row,) = table.to_pylist()
    assert math.isnan(row.pop("no_number"))
    (expected,) = lake.query_arrow("select * exclude (no_number) from lake.marts.exact").to_pylist()
    assert row == expected


def test_pages_belong_to_one_version_and_hold_each_row_once(marts: LakeMartReader, lake: Lake) -> None:
    for mart, key in (("orders", "id"), ("totals", "state")):
        before = {row[0] for row in lake.query(f"select {key} from lake.marts.{mart}")}
        page, found = "", []
        for number in range(5):
            answer = asked(marts, mart, limit=3, page=page)
            found += [row[key] for row in answer["rows"]]
            page = answer["next"]
            if number == 0:  # while it is read, rows come, change and go
                lake.connection.execute("delete from marts.orders where id in (4, 5)")
                lake.connection.execute("insert into marts.orders values (100, 'new')")
            if not page:
                break
        assert Counter(map(str, found)) == Counter(map(str, before))
        assert asked(marts, mart)["snapshot"] > answer["snapshot"]


def test_what_has_changed_makes_the_mart_of_then_the_mart_of_now(marts: LakeMartReader, lake: Lake) -> None:
    then = asked(marts, "orders")
    kept = Counter((row["id"], row["state"]) for row in then["rows"])
    for sql in (
        "begin; delete from marts.orders where id < 3; "
        "insert into marts.orders select i, 'b' from range(3) r(i); commit",
        "update marts.orders set state = 'c' where id in (2, 7)",
        "delete from marts.orders where id = 9",
        "insert into marts.orders values (9007199254740993, null)",
    ):
        lake.connection.execute(sql)
    # Once its files are merged, the lake knows an update as one row that went and one that came.
    for merged, limit in product((False, True), (None, 2)):
        if merged:
            lake.connection.execute("call ducklake_merge_adjacent_files('lake')")
        changed, page = kept.copy(), ""
        while page is not None:
            answer = asked(marts, "orders", since=then["snapshot"], page=page, limit=limit)
            assert not answer["whole"]
            for row in answer["rows"]:
                changed[row["id"], row["state"]] += {"insert": 1, "delete": -1}[row["_change"]]
                assert min(changed.values()) >= 0
            page = answer["next"]
        now = Counter((row["id"], row["state"]) for row in asked(marts, "orders")["rows"])
        assert +changed == now
    assert asked(marts, "orders", since=answer["snapshot"])["rows"] == []


def test_a_mart_that_was_made_again_comes_whole(marts: LakeMartReader, lake: Lake) -> None:
    then = asked(marts, "orders")["snapshot"]
    lake.connection.execute("create or replace table marts.orders as select 1::bigint as id, true as is_new")
    found = asked(marts, "orders", since=then)
    assert found["whole"]
    assert found["rows"] == [{"id": "1", "is_new": True}]


def test_what_cannot_be_answered_says_why(marts: LakeMartReader, lake: Lake) -> None:
    assert refused(marts, "ordrs") == ("unknown", "there is no mart 'ordrs'; did you mean 'orders'?")
    assert refused(marts, "secret")[0] == "unknown"
    assert refused(marts, 'orders"; drop table x; --')[0] == "unknown"
    assert refused(marts, "late")[0] == "away"
    assert refused(marts, "totals", since=1)[0] == "wrong"
    assert refused(marts, "orders", since=10**6)[0] == "unknown"
    assert refused(marts, "orders", page="bm9uc2Vuc2U")[0] == "unknown"
    assert refused(marts, "totals", page=asked(marts, "orders", limit=1)["next"])[0] == "unknown"
    then = asked(marts, "orders")["snapshot"]
    page = asked(marts, "orders", limit=1)["next"]
    lake.connection.execute("insert into marts.orders values (11, 'x')")
    lake.connection.execute("insert into marts.orders values (12, 'x')")
    lake.connection.execute(f"call ducklake_expire_snapshots('lake', versions => [{then}, {then + 1}])")
    assert refused(marts, "orders", since=then)[0] == "expired"
    assert refused(marts, "orders", page=page)[0] == "expired"


def test_an_answer_says_how_fresh_and_how_complete_it_is(marts: LakeMartReader, lake: Lake) -> None:
    lake.connection.execute(
        "insert into raw.batches (stream, batch_id, source_partition, start_position, end_position, "
        "log_end_position, last_event_time, started_at) values "
        "('s', 1, 'p', 0, 5, 5, '2026-01-01 08:00:00+00', '2026-01-01 09:00:00+00'), "
        "('s', 2, 'q', 0, 5, 9, '2026-01-01 08:30:00+00', '2026-01-01 09:30:00+00'), "
        "('s', 3, 'q', 5, 9, 9, '2026-01-01 10:00:00+00', '2026-01-01 11:00:00+00')"
    )
    assert asked(marts, "orders")["streams"] == {"s": {"fresh_to": None, "complete_to": None}}
    note_shown(lake.settings.data_dir, {"orders": {"s": 2}, "totals": {"s": 1}})
    note_shown(lake.settings.data_dir, {"totals": {"s": 3}})
    first = asked(marts, "orders", limit=2)
    assert set(first["streams"]["s"].values()) == {"2026-01-01T08:30:00Z"}
    note_shown(lake.settings.data_dir, {"orders": {"s": 3}})
    assert asked(marts, "orders", limit=2, page=first["next"])["streams"] == first["streams"]
    assert asked(marts, "orders")["streams"]["s"]["fresh_to"] == "2026-01-01T10:00:00Z"
    assert asked(marts, "totals")["streams"]["s"]["complete_to"] == "2026-01-01T11:00:00Z"
    left = "'s', 1, 'left', 0, 5, 9, '2026-01-01 07:00:00+00', '2026-01-01 09:00:00+00'"
    lake.connection.execute(
        "insert into raw.batches (stream, batch_id, source_partition, start_position, end_position, "
        f"log_end_position, last_event_time, started_at, retired) values ({left}, null)"
    )
    assert asked(marts, "totals")["streams"]["s"]["complete_to"] == "2026-01-01T07:00:00Z"
    lake.connection.execute("update raw.batches set retired = 'deleted' where source_partition = 'left'")
    assert asked(marts, "totals")["streams"]["s"]["complete_to"] == "2026-01-01T11:00:00Z"


@pytest.mark.parametrize("before_it_begins", [False, True])
def test_a_reader_writes_nothing_and_its_question_can_be_ended(
    marts: LakeMartReader, lake: Lake, before_it_begins: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = lake.snapshot_id()
    lake.connection.execute("create view marts.endless as select count(*) as n from range(10000000000000)")
    write_served(lake.settings.data_dir, [Mart("endless", "marts", "endless", ())])
    answer = marts.open(Wanted("endless", "csv"))
    ending = threading.Timer(0.2, answer.interrupt)
    if before_it_begins:
        monkeypatch.setattr(answer, "_connection", InterruptedFirst(answer))
    else:
        ending.start()
    with pytest.raises(MartRefused) as refused:
        body(answer)
    assert isinstance(refused.value.__context__, duckdb.InterruptException)
    if not before_it_begins:
        ending.join()
    assert lake.snapshot_id() == before + 1


class InterruptedFirst:
    """A connection that is interrupted when a question has been found to be wanted, and is not yet begun."""

    def __init__(self, answer: LakeAnswer) -> None:
        self._answer, self._connection = answer, answer._connection

    def execute(self, sql: str) -> Any:
        self._answer.interrupt()
        return self._connection.execute(sql)

    def interrupt(self) -> None:
        self._connection.interrupt()
