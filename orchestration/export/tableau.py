"""Data sources of Tableau (`.tds`): a mart each, over PostgreSQL. Tableau asks for the password itself."""

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from orchestration.serving.look import Door
from orchestration.serving.published import Column, Table

_CONNECTION = "postgres.millrace"
_SCHEMA = "marts"
_VERSION = "18.1"
"""Of the file's format; newer Tableaus read it."""
_KINDS = {
    "boolean": "boolean",
    "smallint": "integer",
    "integer": "integer",
    "bigint": "integer",
    "real": "real",
    "double precision": "real",
    "numeric": "real",
    "date": "date",
    "timestamp without time zone": "datetime",
    "timestamp with time zone": "datetime",
}


def tableau_files(door: Door, tables: Sequence[Table]) -> dict[Path, str]:
    """Name of each file → its text."""
    return {Path("tableau") / f"{table.name}.tds": _data_source(door, table) for table in tables}


def _data_source(door: Door, table: Table) -> str:
    root = ElementTree.Element(
        "datasource", {"formatted-name": table.name, "inline": "true", "version": _VERSION}
    )
    outer = ElementTree.SubElement(root, "connection", {"class": "federated"})
    names = ElementTree.SubElement(outer, "named-connections")
    named = ElementTree.SubElement(names, "named-connection", caption=door.host, name=_CONNECTION)
    ElementTree.SubElement(
        named,
        "connection",
        {
            "class": "postgres",
            "authentication": "username-password",
            "server": door.host,
            "port": str(door.port),
            "dbname": door.database,
            "username": door.role,
        },
    )
    place = f"[{_SCHEMA}].[{table.name}]"
    ElementTree.SubElement(
        outer, "relation", connection=_CONNECTION, name=table.name, table=place, type="table"
    )
    for column in table.columns:
        _add(root, column)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f"<?xml version='1.0' encoding='utf-8' ?>\n{text}\n"


def _add(root: ElementTree.Element, column: Column) -> None:
    kind = _KINDS.get(column.kind.partition("(")[0], "string")
    is_number = kind in ("integer", "real") and not column.is_key
    role, scale = ("measure", "quantitative") if is_number else ("dimension", "nominal")
    given = {"name": f"[{column.name}]", "datatype": kind, "role": role, "type": scale}
    made = ElementTree.SubElement(root, "column", given)
    if column.description:
        text = ElementTree.SubElement(ElementTree.SubElement(made, "desc"), "formatted-text")
        ElementTree.SubElement(text, "run").text = column.description
