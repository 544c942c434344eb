"""What an analyst has: the list of tables, the shell, files, and the lake in a DuckDB of his own."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zipfile import ZipFile

import duckdb
import pyarrow.parquet as pq
import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from rich.console import Console

from ingestion.errors import ConfigError
from ingestion.lake.contents import list_contents
from ingestion.lake.lake import Lake
from ingestion.settings import Settings
from orchestration.cli import shell as shells
from orchestration.cli.answers import write_file
from orchestration.cli.attach import attach_sql
from orchestration.cli.completion import LakeCompleter
from orchestration.cli.contents import show
from orchestration.cli.query import QueryRefused, Questions, ask
from orchestration.cli.shell import HISTORY_FILE, Shell, is_complete, run_shell, statements


@pytest.fixture
def orders(lake: Lake, settings: Settings) -> Settings:
    """A lake with `marts.orders`: five rows of which two were deleted, described; and a view on it."""
    lake.prepare(["clicks"])
    for statement in (
        "create schema marts",
        "create table marts.orders (id bigint, price decimal(38,2), note varchar, seen_at timestamptz)",
        "insert into marts.orders select 1000000000000000000 + range, 1.10, '=1+1', "
        "timestamptz '2026-03-01 08:00:00+00' from range(5)",
        "delete from marts.orders where id > 1000000000000000002",
        "comment on table marts.orders is 'What was ordered. One row per order.'",
        "comment on column marts.orders.price is 'Euros.'",
        "create view marts.newest as select max(id) as id from marts.orders",
    ):
        lake.connection.execute(statement)
    return settings


@pytest.fixture
def questions(orders: Settings) -> Iterator[Questions]:
    """Asks that lake."""
    asking = Questions(orders)
    yield asking
    asking.close()


# ---- what is there


def test_the_list_of_tables_is_true(orders: Settings, lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    listed = {f"{each.schema}.{each.name}": each for each in list_contents(lake)}
    assert set(listed) == {
        "marts.newest", "marts.orders", "raw.batches", "raw.clicks", "raw.reject_resolutions", "raw.rejects",
    }  # fmt: skip
    table, view = listed["marts.orders"], listed["marts.newest"]
    assert table.rows == lake.query("select count(*) from marts.orders")[0][0] == 3
    files = (Path(orders.resolved_lake_path) / "marts").rglob("*.parquet")
    assert table.bytes == sum(path.stat().st_size for path in files)
    assert table.description == "What was ordered. One row per order."
    assert table.changed_at is not None
    assert timedelta() <= datetime.now(UTC) - table.changed_at < timedelta(minutes=5)
    assert (view.kind, view.rows, view.bytes, view.changed_at) == ("view", None, None, None)
    assert (listed["raw.clicks"].rows, listed["raw.clicks"].changed_at) == (0, None)

    # A comment is no change of rows, and neither is compaction; a deletion is one.
    changed = "select max(snapshot_time) from lake.snapshots() where changes.tables_deleted_from is not null"
    assert table.changed_at == lake.query(changed)[0][0]
    lake.connection.execute("insert into marts.orders select * from marts.orders limit 0")
    lake.connection.execute("call lake.merge_adjacent_files()")
    (again,) = [each for each in list_contents(lake) if each.name == "orders"]
    assert (again.rows, again.changed_at) == (3, table.changed_at)

    show(list_contents(lake), as_json=True)
    shown = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    assert (shown["orders"]["rows"], shown["newest"]["rows"]) == (3, None)


def test_a_terminal_of_80_columns_cuts_descriptions_only(
    orders: Settings, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = io.StringIO()
    console = Console(file=screen, width=80, force_terminal=True, no_color=True, highlight=False)
    monkeypatch.setattr("orchestration.cli.contents.out", console)
    show(list_contents(lake), as_json=False)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue()).splitlines()
    assert max(map(len, lines)) <= 80
    (line,) = [line for line in lines if line.startswith("marts.orders ")]
    assert re.search(r" 3  +[\d.]+ (B|KiB)  +\d+s ago  +What was ordered", line), line


def test_show_tables_and_describe_show_everything_with_descriptions(questions: Questions) -> None:
    answer = questions.ask("show tables;")
    rows = [dict(zip(answer.columns, row, strict=True)) for row in answer.rows()]
    assert {row["name"]: row["rows"] for row in rows if row["schema"] == "marts"} == {
        "newest": None, "orders": 3,
    }  # fmt: skip
    expected = [("id", "BIGINT", ""), ("price", "DECIMAL(38,2)", "Euros.")]
    for sql in ("describe marts.orders", "DESC orders;", 'describe lake."marts"."orders"'):
        assert list(questions.ask(sql).rows())[:2] == expected
    assert list(questions.ask("describe newest").rows()) == [("id", "BIGINT", "")]


def test_names_need_no_schema(questions: Questions) -> None:
    assert list(questions.ask("select count(*) from orders").rows()) == [(3,)]
    assert list(questions.ask("select count(*) from clicks").rows()) == [(0,)]


def test_a_version_of_before_is_what_it_was_though_upkeep_has_rewritten_the_table(
    questions: Questions, lake: Lake
) -> None:
    assert list(questions.ask(rewritten(lake)).rows()) == [(300,)]


def rewritten(lake: Lake) -> str:
    """Rows without a note come and go, and upkeep rewrites; a query of how many there were."""
    lake.query("insert into marts.orders select range, 2, null, now() from range(300)")
    version = lake.snapshot_id()
    lake.query("delete from marts.orders where note is null")
    assert lake.query(
        "call ducklake_rewrite_data_files('lake', 'orders', schema => 'marts', delete_threshold => 0.2)"
    )
    return f"select count(*) from marts.orders at (version => {version}) where note is null"


def test_a_modeller_s_table_is_not_taken_for_production_s(orders: Settings, lake: Lake) -> None:
    lake.connection.execute("create schema dev_ada; create table dev_ada.unfinished as select 1 as id")
    with pytest.raises(QueryRefused, match="unfinished does not exist"):
        ask(orders, "from unfinished")
    assert list(ask(orders, "from dev_ada.unfinished").rows()) == [(1,)]
    assert list(ask(orders, "describe unfinished").rows()) == [("id", "INTEGER", "")]


# ---- files


def test_an_answer_is_written_as_the_file_s_name_says(questions: Questions, tmp_path: Path) -> None:
    sql = "select * from orders order by id"
    for kind in ("csv", "json", "parquet", "xlsx"):
        assert write_file(questions.ask(sql), tmp_path / f"orders.{kind}") == 3
    with (tmp_path / "orders.csv").open(newline="") as file:
        assert [row["price"] for row in csv.DictReader(file)] == ["1.10"] * 3
    assert json.loads((tmp_path / "orders.json").read_text())[0]["note"] == "=1+1"
    table = pq.read_table(tmp_path / "orders.parquet")
    assert str(table.schema.field("price").type) == "decimal128(38, 2)"
    assert table.column("id").to_pylist()[0] == 10**18
    with ZipFile(tmp_path / "orders.xlsx") as book:
        sheet = book.read("xl/worksheets/sheet1.xml").decode()
    assert "<f>" not in sheet, "a text of an event became a formula"
    assert "1000000000000000000" in sheet, "Excel would round it: it has to be text"
    assert "<v>1.1</v>" in sheet
    assert {path.suffix for path in tmp_path.iterdir() if path.is_file()} == {
        ".csv",
        ".json",
        ".parquet",
        ".xlsx",
    }


def test_a_file_that_cannot_be_written_leaves_the_old_one(questions: Questions, tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text("old")
    cut_off = questions.ask("from orders")
    cut_off.cursor.close()
    with pytest.raises(duckdb.Error):
        write_file(cut_off, tmp_path / "orders.csv")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["orders.csv"]
    assert (tmp_path / "orders.csv").read_text() == "old"
    with pytest.raises(ConfigError, match=r"has to end in \.csv, \.json, \.parquet or \.xlsx"):
        write_file(cut_off, tmp_path / "orders.txt")


# ---- the shell


@pytest.mark.parametrize(
    ("text", "complete"),
    [
        ("select 1;", True),
        ("select 1", False),
        ("select 'a;", False),
        ("select 'a;b';", True),
        ("select 1 /* ;", False),
        (".mode csv", True),
        ("\\d orders", True),
        ("quit", True),
        ("selec nonsense;", True),
    ],
)
def test_enter_ends_a_statement_at_its_semicolon(text: str, complete: bool) -> None:
    assert is_complete(text) is complete


def test_a_file_is_read_statement_by_statement() -> None:
    text = ".mode csv\nselect 1;  select\n  ';'\n;\n\nselect 3"
    found = [each.strip().rstrip("; \n") for each in statements(text)]
    assert found == [".mode csv", "select 1", "select\n  ';'", "select 3"]


def test_the_shell_goes_on_after_an_error(
    questions: Questions, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shell = Shell(questions, limit=10)
    assert not shell.do("drop table orders;")
    assert not shell.do(".mode xml")
    assert not shell.do(".nothing")
    assert shell.do(".mode csv")
    assert shell.do("select id - 1000000000000000000 as n from orders order by 1;")
    assert capsys.readouterr().out.endswith("n\n0\n1\n2\n")
    assert shell.do(f".output {tmp_path / 'n.parquet'}")
    assert shell.do("from orders;")
    assert pq.read_metadata(tmp_path / "n.parquet").num_rows == 3


def test_typing_has_lines_and_a_history(
    orders: Settings, questions: Questions, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(Shell, "do", lambda _, text: asked.append(text) or True)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    for keys in ("select count(*)\rfrom marts.orders;\r\x04", "\x1b[A\r\x04"):
        with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
            pipe.send_text(keys)
            assert run_shell(orders, mode="table", limit=10) == 0
    assert asked == ["select count(*)\nfrom marts.orders;"] * 2
    assert "marts.orders" in (orders.data_dir / HISTORY_FILE).read_text()


@pytest.mark.parametrize(
    ("before", "offered", "not_offered"),
    [
        ("sel", "select", "sum"),
        ("select * from ", "marts.", "select"),
        ("select * from marts.", "marts.orders", "raw.clicks"),
        ("select pr", "price", "payload"),
        ("select o.pr", "o.price", "price"),
        (".mo", ".mode", "mode"),
        (".mode ", "csv", "select"),
        ("\\d or", "orders", "or"),
    ],
)
def test_what_tab_offers(questions: Questions, before: str, offered: str, not_offered: str) -> None:
    completer = LakeCompleter(questions, questions.names())
    whole = f"{before} from orders o" if before.startswith("select ") and "from" not in before else before
    document = Document(whole, len(before))
    texts = {each.text for each in completer.get_completions(document, CompleteEvent())}
    assert offered in texts
    assert not_offered not in texts


# ---- a DuckDB of one's own


def test_attach_works_in_a_plain_duckdb_from_anywhere(orders: Settings, lake: Lake, tmp_path: Path) -> None:
    sql = attach_sql(orders)
    past = rewritten(lake)
    password = str(orders.catalog and orders.catalog.get_secret_value())
    assert password not in sql
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    program = (
        "import duckdb, sys; c = duckdb.connect(); c.execute(sys.stdin.read()); "
        "print(c.execute('select count(*) from orders').fetchall(), "
        "c.execute('select count(*) from raw.clicks').fetchall(), "
        "c.execute('select comment from duckdb_columns() where column_name = \\'price\\'').fetchall(), "
        f"c.execute('{past}').fetchall())\n"
        "try: c.execute('delete from orders')\n"
        "except duckdb.Error as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], input=sql, capture_output=True, text=True, cwd=elsewhere,
        env={"HOME": str(elsewhere), "PATH": os.defpath, "https_proxy": "http://127.0.0.1:9"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "[(3,)] [(0,)] [('Euros.',)] [(300,)]" in done.stdout
    assert "read-only" in done.stdout
    assert list(elsewhere.iterdir()) == [], "something was installed"


def test_the_shell_s_module_is_loaded_only_when_it_is_used() -> None:
    assert shells.HISTORY_FILE
    code = "import orchestration.cli.shell, sys; print('prompt_toolkit' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
