"""Files of Power BI: a connection (`.pbids`), and a project (PBIP) with its model in TMDL.

TMDL is indented by tabs: https://learn.microsoft.com/analysis-services/tmdl/tmdl-overview. The report is an
empty page. Power BI asks for the password itself.
"""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from orchestration.serving.look import Door
from orchestration.serving.published import Column, Table

_FOLDER, _NAME, _SCHEMA = Path("power-bi"), "marts", "marts"
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NUMERIC = re.compile(r"numeric\((\d+),(\d+)\)")
_KINDS = {
    "boolean": "boolean",
    "smallint": "int64",
    "integer": "int64",
    "bigint": "int64",
    "real": "double",
    "double precision": "double",
    "date": "dateTime",
    "timestamp without time zone": "dateTime",
    "timestamp with time zone": "dateTime",
    "bytea": "binary",
}
_DECIMAL_DIGITS, _DECIMAL_SCALE = 18, 4
"""What Power BI's fixed decimal holds exactly."""


def power_bi_files(door: Door, tables: Sequence[Table]) -> dict[Path, str]:
    """Name of each file → its text."""
    server = _address(door)
    model = _FOLDER / f"{_NAME}.SemanticModel"
    report = _FOLDER / f"{_NAME}.Report"
    details = {"protocol": "postgresql", "address": {"server": server, "database": door.database}}
    page = {
        "name": "marts", "displayName": "Marts", "displayOption": 1, "width": 1280, "height": 720,
        "config": "{}", "filters": "[]", "visualContainers": [],
    }  # fmt: skip
    documents: dict[Path, object] = {
        _FOLDER / f"{_NAME}.pbids": {
            "version": "0.1",
            "connections": [{"details": details, "options": {}, "mode": "DirectQuery"}],
        },
        _FOLDER / f"{_NAME}.pbip": {
            "version": "1.0",
            "artifacts": [{"report": {"path": f"{_NAME}.Report"}}],
            "settings": {"enableAutoRecovery": True},
        },
        report / "definition.pbir": {
            "version": "4.0",
            "datasetReference": {"byPath": {"path": f"../{_NAME}.SemanticModel"}},
        },
        report / "report.json": {
            "config": json.dumps({"version": "5.50", "themeCollection": {}}),
            "layoutOptimization": 0,
            "resourcePackages": [],
            "sections": [page],
        },
        model / "definition.pbism": {"version": "4.0", "settings": {}},
    }
    texts = {path: f"{json.dumps(content, indent=2)}\n" for path, content in documents.items()}
    refs = "".join(f"ref table {_quoted(table.name)}\n" for table in tables)
    texts[model / "definition" / "database.tmdl"] = "database\n\tcompatibilityLevel: 1600\n"
    texts[model / "definition" / "model.tmdl"] = (
        "model Model\n\tculture: en-US\n\tdefaultPowerBIDataSourceVersion: powerBI_V3\n\n" + refs
    )
    for table in tables:
        lines = _table(table, server, door.database)
        texts[model / "definition" / "tables" / f"{table.name}.tmdl"] = "\n".join(lines) + "\n"
    return texts


def power_bi_type(kind: str) -> str:
    """TMDL's type of a type of PostgreSQL; what it has none for is a text."""
    if found := _NUMERIC.fullmatch(kind):
        digits, scale = map(int, found.groups())
        return "decimal" if digits <= _DECIMAL_DIGITS and scale <= _DECIMAL_SCALE else "double"
    return "double" if kind == "numeric" else _KINDS.get(kind, "string")


def _address(door: Door) -> str:
    """Host and port as Power BI writes them."""
    host = f"[{door.host}]" if ":" in door.host else door.host
    return f"{host}:{door.port}"


def _table(table: Table, server: str, database: str) -> Iterator[str]:
    yield from _described(table.description, "")
    yield f"table {_quoted(table.name)}"
    keys = [column for column in table.columns if column.is_key]
    for column in table.columns:
        yield ""
        yield from _column(column, is_key=keys == [column])
    yield ""
    yield f"\tpartition {_quoted(table.name)} = m"
    yield "\t\tmode: import"
    yield "\t\tsource ="
    place = f"[Schema = {_m(_SCHEMA)}, Item = {_m(table.name)}]"
    for line in (
        "let",
        f"\tSource = PostgreSQL.Database({_m(server)}, {_m(database)}),",
        f"\tMart = Source{{{place}}}[Data]",
        "in",
        "\tMart",
    ):
        yield f"\t\t\t\t{line}"


def _column(column: Column, *, is_key: bool) -> Iterator[str]:
    yield from _described(column.description, "\t")
    yield f"\tcolumn {_quoted(column.name)}"
    yield f"\t\tdataType: {power_bi_type(column.kind)}"
    if is_key:
        yield "\t\tisKey"
    yield "\t\tsummarizeBy: none"
    yield f"\t\tsourceColumn: {column.name}"


def _described(text: str, indent: str) -> Iterator[str]:
    return (f"{indent}/// {line.strip()}" for line in text.splitlines() if line.strip())


def _quoted(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else "'" + name.replace("'", "''") + "'"


def _m(text: str) -> str:
    """A text of Power Query's language M."""
    return '"' + text.replace('"', '""') + '"'
