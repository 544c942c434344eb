"""What streams and marts promise, in the form of the Open Data Contract Standard (ODCS) 3.2.

The standard: https://bitol-io.github.io/open-data-contract-standard. Where the files go: contracts.py.
"""

import hashlib
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from orchestration.checks.contracts import Contract, ContractCheck, list_checks

API_VERSION = "v3.2.0"
Document = dict[str, Any]
_IDENTITY = uuid.UUID("6a3e6c7e-0b0e-5d27-9c0e-6d1f6d696c6c")
"""Of Millrace; contracts' ids are made from it, the project's name and the contract's."""
_LAKE = {
    "server": "lake",
    "type": "custom",
    "description": "Millrace's lake, DuckLake: 'millrace attach' prints SQL that opens it in DuckDB.",
}
_OPERATORS = {
    "must_be": "mustBe",
    "must_not_be": "mustNotBe",
    "must_be_greater_than": "mustBeGreaterThan",
    "must_be_greater_than_or_equal": "mustBeGreaterOrEqualTo",
    "must_be_less_than": "mustBeLessThan",
    "must_be_less_than_or_equal": "mustBeLessOrEqualTo",
}
_METRICS = {"missing": "missingValues", "duplicate": "duplicateValues", "invalid": "invalidValues"}
_LOGICAL = {
    "tinyint": "integer", "smallint": "integer", "integer": "integer", "bigint": "integer",
    "hugeint": "integer", "utinyint": "integer", "usmallint": "integer",
    "uinteger": "integer", "ubigint": "integer",
    "real": "number", "float": "number", "double": "number", "decimal": "number", "numeric": "number",
    "boolean": "boolean", "date": "date", "time": "time",
    "timestamptz": "timestamp", "json": "object", "struct": "object",
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """A column as it is declared.

    Attributes:
        name: Its name.
        type: SQL type; empty where none is declared.
        description: What it means; may be empty.
        path: Where its value is in the payload; empty where it is not from there.
    """

    name: str
    type: str = ""
    description: str = ""
    path: str = ""


@dataclass(frozen=True)
class Table:
    """A table or view as it is declared.

    Attributes:
        schema: Of the lake.
        name: Of the table.
        kind: table or view.
        description: What it holds.
        columns: In their order.
        key: The columns that identify a row; may be empty.
        contract: Soda's; None without one.
        freshness_seconds: The budget of its freshness; None without one.
    """

    schema: str
    name: str
    kind: str
    description: str
    columns: Sequence[Column]
    key: Sequence[str] = ()
    contract: Contract | None = None
    freshness_seconds: float | None = None


def document(
    name: str,
    tables: Sequence[Table],
    *,
    project: str,
    purpose: str,
    usage: str = "",
    owners: Sequence[str] = (),
    tags: Sequence[str] = (),
) -> Document:
    """A contract; what is declared in the same way gives the same document.

    Args:
        name: Of the stream or the mart.
        tables: What it is about.
        project: Its project's name.
        purpose: One sentence.
        usage: Where the data come from.
        owners: Who answers for it.
        tags: Words to find it by.
    """
    fresh = [
        {
            "property": "latency", "value": each.freshness_seconds, "unit": "s",
            "element": f"{each.schema}.{each.name}",
        }
        for each in tables
        if each.freshness_seconds is not None
    ]  # fmt: skip
    made: Document = {
        "apiVersion": API_VERSION,
        "kind": "DataContract",
        "id": str(uuid.uuid5(_IDENTITY, f"{project}/{tables[0].schema}/{name}")),
        "name": name,
        "version": "",
        "status": "active",
        "dataProduct": project,
        "description": {"purpose": purpose} | ({"usage": usage} if usage else {}),
        **({"tags": list(tags)} if tags else {}),
        **({"team": {"name": ", ".join(owners)}} if owners else {}),
        "servers": [_LAKE],
        "schema": [_object(each) for each in tables],
        **({"slaProperties": fresh} if fresh else {}),
    }
    # It moves with what is promised, and with nothing else.
    made["version"] = hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()[:12]
    return made


def text(contract: Document) -> str:
    """The file's text."""
    return yaml.dump(contract, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=110)


class _Plain(yaml.SafeDumper):
    """Writes what stands in several places each time in full, and a text of several lines as such."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_str(self, data: str) -> yaml.ScalarNode:
        style = "|" if "\n" in data else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Plain.add_representer(str, _Plain.represent_str)


def _object(table: Table) -> Document:
    checks = list(_checks(table.contract)) if table.contract else []
    of_columns: dict[str, list[Document]] = {each.name: [] for each in table.columns}
    of_table = list[Document]()
    for column, kind, body, check in checks:
        made = _quality(kind, body, check, table.contract)
        if made is not None:
            of_columns.get(column or "", of_table).append(made)
    promised = {
        (column, kind)
        for column, kind, body, check in checks
        if _is_plain(body) and check.severity == "error"
    }
    where = yaml.safe_load(table.contract.text).get("filter") if table.contract else None
    return {
        "name": table.name,
        "physicalName": f"{table.schema}.{table.name}",
        "logicalType": "object",
        "physicalType": table.kind,
        **({"description": table.description} if table.description else {}),
        "properties": [_property(each, table, promised, of_columns[each.name]) for each in table.columns],
        **({"quality": of_table} if of_table else {}),
        **(
            {"customProperties": [{"property": "sodaFilter", "value": where, "vendor": "soda"}]}
            if where
            else {}
        ),
    }


def _property(
    column: Column, table: Table, promised: Iterable[tuple[str | None, str]], quality: list[Document]
) -> Document:
    base = column.type.lower().partition("(")[0].strip()
    logical = "array" if base.endswith("[]") else _LOGICAL.get(base, "string")
    if base.startswith("timestamp"):
        logical = "timestamp"
    custom: list[Document] = []
    if column.path:
        custom.append({"property": "path", "value": column.path, "vendor": "millrace"})
    if not column.type:  # the standard's schema wants one; 'string' claims the least
        custom.append({"property": "typeDeclared", "value": False, "vendor": "millrace"})
    return {
        "name": column.name,
        "logicalType": logical,
        **({"physicalType": column.type} if column.type else {}),
        **({"description": column.description} if column.description else {}),
        **(_key(table.key, column.name)),
        **({"required": True} if (column.name, "missing") in promised else {}),
        **({"unique": True} if (column.name, "duplicate") in promised else {}),
        **({"customProperties": custom} if custom else {}),
        **({"quality": quality} if quality else {}),
    }


def _key(key: Sequence[str], name: str) -> Document:
    return {"primaryKey": True, "primaryKeyPosition": key.index(name) + 1} if name in key else {}


def _checks(contract: Contract) -> Iterator[tuple[str | None, str, Mapping[str, Any], ContractCheck]]:
    """Column, type and body of each check, with what list_checks says of it, which has the same order."""
    content = yaml.safe_load(contract.text)
    found = [(None, item) for item in content.get("checks") or ()]
    for column in content["columns"]:
        found += [(column["name"], item) for item in column.get("checks") or ()]
    for (column, item), check in zip(found, list_checks(contract), strict=True):
        ((kind, body),) = item.items()
        yield column, kind, body or {}, check


def _is_plain(body: Mapping[str, Any]) -> bool:
    """Whether no row may break it."""
    return not set(body) - {"name", "qualifier"}


def _quality(
    kind: str, body: Mapping[str, Any], check: ContractCheck, contract: Contract | None
) -> Document | None:
    """A check by a metric of the standard where it has one, else as Soda has it; None for the schema's."""
    if kind == "schema":
        return None  # the properties are what it compares
    said: Document = {
        "name": check.name,
        "description": f"{check.description} ({check.threshold})",
        "severity": "warning" if check.severity == "warn" else "error",
    }
    known = {"name", "qualifier", "threshold", "columns", "valid_values"}
    limits = _limits(body.get("threshold") or {})
    arguments: Document = {}
    if "columns" in body:
        arguments["properties"] = list(body["columns"])
    if "valid_values" in body:
        arguments["validValues"] = list(body["valid_values"])
    is_known = kind in _METRICS and limits is not None and not set(body) - known
    if is_known and (kind != "invalid" or "valid_values" in body):
        metric = {"type": "library", "metric": _METRICS[kind], **(limits or {})}
        return said | metric | ({"arguments": arguments} if arguments else {})
    implementation = yaml.dump({kind: dict(body)}, Dumper=_Plain, sort_keys=False, width=10_000)
    return said | {"type": "custom", "engine": "soda", "implementation": implementation}


def _limits(threshold: Mapping[str, Any]) -> Document | None:
    """A threshold in the standard's words; None for one that it has none for."""
    given = {name: value for name, value in threshold.items() if name not in ("level", "metric", "unit")}
    if threshold.get("metric") == "percent":
        unit = {"unit": "percent"}
    elif "metric" in threshold or "unit" in threshold:
        return None
    else:
        unit = {"unit": "rows"}
    if not given:
        return {"mustBe": 0, **unit}
    if len(given) != 1:
        return None
    ((name, value),) = given.items()
    return {_OPERATORS[name]: value, **unit} if name in _OPERATORS else None
