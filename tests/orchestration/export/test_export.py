"""A mart in a file: each format is read by a library that did not write it, and compared value by value."""

import csv
import json
import stat
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import openpyxl
import pyarrow.parquet as pq
import pytest
from tableauhyperapi import Connection, HyperProcess, Interval, Telemetry, Timestamp

from ingestion.errors import ConfigError, StorageError
from ingestion.lake.lake import Lake
from ingestion.settings import Settings, load_settings
from orchestration.cli.app import run
from orchestration.export.excel import MOST_ROWS, write_sheet
from orchestration.export.export import ExportRefused, export
from orchestration.export.forms import Source, writer_of

_UUID = "6f1c2f6e-8f6d-4b5e-9d8e-0f8f6a1b2c3d"
_COLUMNS = {
    "id": ("bigint", "9007199254740993"),
    "small": ("utinyint", "200"),
    "wide": ("hugeint", "12345678901234567890123456789012345678"),
    "unsigned": ("ubigint", "18446744073709551615"),
    "money": ("decimal(18,2)", "1.10"),
    "exact": ("decimal(38,3)", "12345678901234567890123456789012345.125"),
    "ratio": ("double", "0.1"),
    "sum": ("double", "0.1::double + 0.2::double"),
    "single": ("float", "1.5"),
    "odd": ("double", "'nan'"),
    "paid": ("boolean", "true"),
    "note": ("varchar", "'=1+1, \"ä\"\n'"),
    "nothing": ("varchar", "''"),
    "day": ("date", "date '2026-03-01'"),
    "old_day": ("date", "date '1850-01-01'"),
    "clock": ("time", "time '01:02:03.004'"),
    "at": ("timestamp", "timestamp '2026-03-01 08:00:00.123'"),
    "seen_at": ("timestamptz", "timestamptz '2026-03-01 09:00:00.123+01'"),
    "lasted": ("interval", "interval '1 month 2 days 3 microseconds'"),
    "who": ("uuid", f"'{_UUID}'"),
    "payload": ("json", "'{\"a\": 1.10}'"),
    "raw": ("blob", r"'\x00\xFF'::blob"),
    "tags": ("varchar[]", "['a', null, 'b']"),
    "wides": ("hugeint[]", "[12345678901234567890123456789012345678]"),
    "place": ("struct(x integer, t interval)", "{'x': 1, 't': interval '1 day'}"),
    "pairs": ("map(varchar, integer)", "map {'k': 1}"),
}


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str]) -> Settings:
    """A mart of two rows: a value of every type, and null in each. A view: tables round 128-bit numbers."""
    settings = load_settings(data_dir=tmp_path_factory.mktemp("exported"), catalog=new_database())
    values = ", ".join(f"({value})::{kind} as {name}" for name, (kind, value) in _COLUMNS.items())
    nulls = ", ".join("null" for _ in _COLUMNS)
    with Lake(settings) as lake:
        lake.prepare([])
        for statement in (
            "create schema marts",
            f"create view marts.everything as select {values} union all select {nulls}",
            "create table marts.orders as select 1 as id",
            "delete from marts.orders",
        ):
            lake.connection.execute(statement)
    return settings


def _said(settings: Settings, path: Path) -> dict[str, str]:
    """Column → what is said of it; the file has both rows, and nobody else may read it."""
    done = export(settings, "everything", path)
    assert done.rows == 2
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir() if each.is_file()] == [path.name], "something is left"
    return {sentence.replace(":", " ").split()[0]: sentence for sentence in done.said}


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and value != value


def test_csv_keeps_every_value_and_null_apart_from_nothing(everything: Settings, tmp_path: Path) -> None:
    assert _said(everything, tmp_path / "x.csv") == {}
    text = (tmp_path / "x.csv").read_bytes().decode()
    with (tmp_path / "x.csv").open(newline="", encoding="utf-8") as file:
        names, values, nulls = csv.reader(file)
    assert names == [*_COLUMNS]
    row = dict(zip(names, values, strict=True))
    assert (row["id"], row["wide"], row["exact"], row["money"]) == (
        "9007199254740993", "12345678901234567890123456789012345678",
        "12345678901234567890123456789012345.125", "1.10",
    )  # fmt: skip
    assert (row["sum"], row["odd"], row["note"]) == ("0.30000000000000004", "NaN", '=1+1, "ä"\n')
    assert (row["at"], row["seen_at"]) == ("2026-03-01T08:00:00.123000", "2026-03-01T08:00:00.123000Z")
    assert json.loads(row["tags"]) == ["a", None, "b"]
    assert nulls == [""] * len(names)
    assert ',"",' in text, "an empty text and null are the same"
    assert text.endswith("," * (len(names) - 1) + "\r\n")


def test_json_keeps_every_value(everything: Settings, tmp_path: Path) -> None:
    assert _said(everything, tmp_path / "x.json") == {}
    row, nulls = json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))
    assert (row["id"], row["exact"]) == ("9007199254740993", "12345678901234567890123456789012345.125")
    assert (row["sum"], row["odd"], row["paid"], row["nothing"]) == (0.1 + 0.2, "NaN", True, "")
    assert (row["payload"], row["tags"]) == ({"a": 1.1}, ["a", None, "b"])
    assert (row["place"]["x"], row["pairs"]) == (1, [{"key": "k", "value": 1}])
    assert nulls == dict.fromkeys(_COLUMNS)


def test_parquet_keeps_every_value(everything: Settings, tmp_path: Path) -> None:
    said = _said(everything, tmp_path / "x.parquet")
    table = pq.read_table(tmp_path / "x.parquet")
    row, nulls = table.to_pylist()
    wide = 12345678901234567890123456789012345678
    assert (row["id"], row["unsigned"], row["wide"], row["wides"]) == (2**53 + 1, 2**64 - 1, wide, [wide])
    assert (row["money"], row["exact"]) == (
        Decimal("1.10"), Decimal("12345678901234567890123456789012345.125"),
    )  # fmt: skip
    assert (row["sum"], row["single"], row["paid"], row["nothing"]) == (0.1 + 0.2, 1.5, True, "")
    assert _is_nan(row["odd"])
    assert (row["day"], row["old_day"], row["clock"]) == (
        date(2026, 3, 1), date(1850, 1, 1), time(1, 2, 3, 4000),
    )  # fmt: skip
    assert row["at"] == datetime(2026, 3, 1, 8, 0, 0, 123000)
    assert row["seen_at"] == datetime(2026, 3, 1, 8, 0, 0, 123000, tzinfo=UTC)
    assert (row["tags"], row["raw"], row["pairs"]) == (["a", None, "b"], b"\x00\xff", [("k", 1)])
    assert row["place"] == {"x": 1, "t": "1 day"}
    assert row["lasted"] == "1 month 2 days 00:00:00.000003"
    assert set(said) == {"lasted", "place", "wides"}
    assert set(nulls.values()) == {None}
    assert table.schema.metadata[b"millrace_mart"] == b"everything"


def test_excel_shows_what_it_would_change_as_text_and_says_so(everything: Settings, tmp_path: Path) -> None:
    said = _said(everything, tmp_path / "x.xlsx")
    sheet = openpyxl.load_workbook(tmp_path / "x.xlsx").active
    names, values, *nulls = sheet.iter_rows(values_only=True)
    row = dict(zip(names, values, strict=True))
    assert (row["id"], row["sum"], row["odd"]) == ("9007199254740993", "0.30000000000000004", "nan")
    assert (row["money"], row["ratio"], row["small"], row["paid"]) == (1.1, 0.1, 200, True)
    assert row["exact"] == "12345678901234567890123456789012345.125"
    assert (row["note"], row["payload"]) == ('=1+1, "ä"\n', '{"a": 1.10}')
    assert (row["day"], row["old_day"]) == (datetime(2026, 3, 1), "1850-01-01")
    assert (row["clock"], row["at"]) == (time(1, 2, 3, 4000), datetime(2026, 3, 1, 8, 0, 0, 123000))
    assert row["seen_at"] == row["at"]
    assert (row["who"], json.loads(row["tags"])) == (_UUID, ["a", None, "b"])
    assert {"id", "wide", "unsigned", "exact", "sum", "odd", "old_day", "seen_at", "tags"} <= set(said)
    assert not {"money", "ratio", "small", "note", "day", "at"} & set(said)
    assert "UTC" in said["seen_at"]
    assert nulls == [], "a row of nulls has no cells"


def test_a_tableau_extract_keeps_every_value(
    everything: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # in which Hyper would leave its log
    said = _said(everything, tmp_path / "x.hyper")
    options = {"telemetry": Telemetry.DO_NOT_SEND_USAGE_DATA_TO_TABLEAU, "parameters": {"log_config": ""}}
    with HyperProcess(**options) as server, Connection(server.endpoint, tmp_path / "x.hyper") as connection:
        values, nulls = connection.execute_list_query('select * from "everything"')
    row = dict(zip(_COLUMNS, values, strict=True))
    assert (row["id"], row["unsigned"], row["small"]) == (2**53 + 1, 2**64 - 1, 200)
    assert row["wide"] == 12345678901234567890123456789012345678
    assert (row["money"], row["exact"]) == (
        Decimal("1.10"), Decimal("12345678901234567890123456789012345.125"),
    )  # fmt: skip
    assert (row["sum"], row["single"], row["paid"], row["nothing"]) == (0.1 + 0.2, 1.5, True, "")
    assert _is_nan(row["odd"])
    assert (row["note"], row["raw"], row["clock"]) == ('=1+1, "ä"\n', b"\x00\xff", time(1, 2, 3, 4000))
    assert (row["day"].to_date(), row["old_day"].to_date()) == (date(2026, 3, 1), date(1850, 1, 1))
    assert row["at"] == Timestamp(2026, 3, 1, 8, 0, 0, 123000)
    assert row["seen_at"].to_datetime() == datetime(2026, 3, 1, 8, 0, 0, 123000, tzinfo=UTC)
    assert (row["lasted"], UUID(row["who"])) == (Interval(1, 2, 3), UUID(_UUID))
    assert (json.loads(row["tags"]), json.loads(row["payload"])) == (["a", None, "b"], {"a": 1.1})
    assert set(said) == {"tags", "wides", "place", "pairs"}
    assert set(nulls) == {None}


def test_an_older_version_is_exported_as_it_was(everything: Settings, tmp_path: Path) -> None:
    now = export(everything, "marts.orders", tmp_path / "now.csv")
    assert now.rows == 0
    then = export(everything, "orders", tmp_path / "then.csv", at=now.snapshot - 1)
    assert (then.rows, then.snapshot) == (1, now.snapshot - 1)
    with pytest.raises(ExportRefused, match="version 99999 of the lake is not there"):
        export(everything, "orders", tmp_path / "never.csv", at=99999)
    with pytest.raises(ExportRefused, match=f"was not there in version {now.snapshot - 2}"):
        export(everything, "orders", tmp_path / "never.csv", at=now.snapshot - 2)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["now.csv", "then.csv"]


def test_a_file_that_is_there_stays_unless_it_may_go(everything: Settings, tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    path.write_text("old")
    with pytest.raises(ExportRefused, match="--force replaces it"):
        export(everything, "everything", path)
    with pytest.raises(ExportRefused, match="did you mean 'everything'"):
        export(everything, "everythin", path, replace=True)
    assert path.read_text() == "old"
    assert export(everything, "everything", path, replace=True).rows == 2
    assert pq.read_table(path).num_rows == 2
    with pytest.raises(ConfigError, match=r"\.xlsx or \.hyper"):
        export(everything, "everything", tmp_path / "x.txt")
    with pytest.raises(StorageError, match="No such file"):
        export(everything, "everything", tmp_path / "missing" / "x.csv")


def test_what_comes_while_a_mart_is_written_is_not_replaced(
    everything: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.csv"
    write = writer_of(path)

    def late(lake: duckdb.DuckDBPyConnection, source: Source, work: Path) -> Any:
        path.write_text("somebody else's")
        return write(lake, source, work)

    monkeypatch.setattr("orchestration.export.export.writer_of", lambda _: late)
    with pytest.raises(ExportRefused, match="is there already"):
        export(everything, "everything", path)
    assert path.read_text() == "somebody else's"
    assert [each.name for each in tmp_path.glob(".*")] == []


def test_a_sheet_that_cannot_hold_the_rows_is_refused(tmp_path: Path) -> None:
    class Rows:
        """So many that no sheet holds them, without making each a row of the file."""

        def __iter__(self) -> Any:
            return iter([()] * MOST_ROWS)

    with pytest.raises(ConfigError, match=r"1,048,575 rows"):
        write_sheet(tmp_path / "x.xlsx", [], Rows())
    with pytest.raises(ConfigError, match="'note' has more"):
        write_sheet(tmp_path / "x.xlsx", ["note"], [("x" * 32_768,)])


def test_the_command_prints_rows_version_and_losses(
    everything: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    monkeypatch.setattr("orchestration.cli.context.Globals.settings", lambda _: everything)
    assert run(["export", "everything", "--to", str(tmp_path / "x.xlsx"), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    with Lake(everything, read_only=True) as lake:
        assert (printed["rows"], printed["snapshot"]) == (2, lake.snapshot_id())
    assert "seen_at is in UTC: Excel has no time zones" in printed["differences"]
    assert run(["export", "everything", "--to", str(tmp_path / "x.xlsx")]) == 1
    assert run(["export", "everything", "--to", str(tmp_path / "x.xlsx"), "--force"]) == 0
