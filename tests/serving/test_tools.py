"""Files with which BI tools open the marts: what they name is there, and they hold no password."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import psycopg2
import pytest
import sqlalchemy

from ingestion.errors import ConfigError
from orchestration.export.power_bi import power_bi_files, power_bi_type
from orchestration.export.tools import write_tool_files
from orchestration.services.postgres_folder import READER
from orchestration.serving.look import Door
from orchestration.serving.published import Column, Table
from tests.serving.test_tcp import SLOW, Opened

TYPES = {"boolean", "int64", "double", "decimal", "dateTime", "binary", "string"}
_OBJECT = re.compile(r"(table|column|partition) ('(?:[^']|'')+'|\w+)( = m)?")
_PROPERTY = re.compile(r"(\w+): (.+)|isKey|source =")


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    it = Opened(tmp_path_factory.mktemp("tools"))
    yield it
    it.close()


def columns_of(text: str) -> dict[str, dict[str, str]]:
    """A table in TMDL, read strictly: object at its depth, properties one deeper, M beyond them."""
    found: dict[str, dict[str, str]] = {}
    inside, in_source, objects = "", False, []
    for line in text.splitlines():
        depth, said = len(line) - len(line.lstrip("\t")), line.strip("\t")
        assert said == said.strip(), line
        if in_source and depth >= 4:
            continue
        in_source = False
        if not said or said.startswith("/// "):
            continue
        if made := _OBJECT.fullmatch(said):
            kind, name, expression = made.groups()
            assert depth == (0 if kind == "table" else 1), line
            assert (kind == "partition") == bool(expression), line
            inside = kind
            objects.append(kind)
            if kind == "column":
                name = name.strip("'").replace("''", "'")
                found[name] = {}
            continue
        given = _PROPERTY.fullmatch(said)
        assert given is not None, line
        assert depth == 2, line
        in_source = said == "source ="
        if inside == "column":
            found[name][given[1] or said] = given[2] or ""
    assert objects == ["table", *["column"] * len(found), "partition"]
    return found


@SLOW
def test_what_the_files_name_is_what_postgresql_has(opened: Opened, tmp_path: Path) -> None:
    folder = tmp_path / "bi"
    written = write_tool_files(opened.settings, folder)
    password = opened.password()
    files = {path: (folder / path).read_text(encoding="utf-8") for path in written}
    assert {path for path in folder.rglob("*") if path.is_file()} == {folder / path for path in written}
    assert not [path for path, text in files.items() if password in text or "passfile" in text]

    engine = sqlalchemy.create_engine(
        f"postgresql+psycopg2://{READER}:{password}@127.0.0.1:{opened.port}/serving"
    )
    seen = sqlalchemy.inspect(engine)
    there = {
        table: [column["name"] for column in seen.get_columns(table, schema="marts")]
        for table in seen.get_table_names(schema="marts")
    }
    assert set(there) == {"orders", "_served"}
    for table, columns in there.items():
        source = ElementTree.fromstring(files[Path("tableau") / f"{table}.tds"].encode())
        assert [each.get("name") for each in source.iter("column")] == [f"[{name}]" for name in columns]
        (relation,) = source.iter("relation")
        assert relation.get("table") == f"[marts].[{table}]"
        tmdl = files[Path(f"power-bi/marts.SemanticModel/definition/tables/{table}.tmdl")]
        described = columns_of(tmdl)
        assert [each["sourceColumn"] for each in described.values()] == columns
        assert {each["dataType"] for each in described.values()} <= TYPES
    orders = files[Path("power-bi/marts.SemanticModel/definition/tables/orders.tmdl")]
    assert columns_of(orders)["id"].keys() >= {"isKey"}
    assert columns_of(orders)["id"]["dataType"] == "int64"
    assert orders.startswith("/// What was ordered. One row per order.\ntable orders\n")
    assert "\t/// How far it is.\n\tcolumn state\n" in orders
    model = files[Path("power-bi/marts.SemanticModel/definition/model.tmdl")]
    assert re.findall(r"^ref table (\w+)$", model, re.MULTILINE) == sorted(there)
    for path, text in files.items():
        if path.suffix in (".pbids", ".pbip", ".pbir", ".pbism", ".json"):
            assert json.loads(text), path

    (connection,) = json.loads(files[Path("power-bi/marts.pbids")])["connections"]
    host, port = connection["details"]["address"]["server"].split(":")
    database = connection["details"]["address"]["database"]
    reader = psycopg2.connect(host=host, port=port, dbname=database, user=READER, password=password)
    with reader, reader.cursor() as cursor:
        cursor.execute("select count(*) from marts.orders")
        assert cursor.fetchone() == (10,)
    reader.close()
    with pytest.raises(ConfigError, match="not empty"):
        write_tool_files(opened.settings, folder)


def test_names_with_spaces_and_quotes_are_written_as_tmdl_wants() -> None:
    table = Table("two words", "", (Column("it's", "numeric(10,2)", "a\nb", False),))
    door = Door("::1", 5433, "serving", "millrace_reader", "")
    files = power_bi_files(door, [table])
    text = files[Path("power-bi/marts.SemanticModel/definition/tables/two words.tmdl")]
    assert columns_of(text) == {
        "it's": {"dataType": "decimal", "summarizeBy": "none", "sourceColumn": "it's"}
    }
    assert 'PostgreSQL.Database("[::1]:5433", "serving")' in text
    assert "\t/// a\n\t/// b\n" in text


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("numeric(39,0)", "double"),
        ("numeric(18,4)", "decimal"),
        ("bigint[]", "string"),
        ("numeric", "double"),
    ],
)
def test_what_a_fixed_decimal_cannot_hold_is_a_double(kind: str, expected: str) -> None:
    assert power_bi_type(kind) == expected
