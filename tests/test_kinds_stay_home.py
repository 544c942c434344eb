"""A kind of broker is known in its own folder, in the registry, and where a demo starts it: nowhere else.

Looked at: identifiers and whole string literals that equal a kind, and imports of its folder.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestion.connectors.registry import CONNECTORS
from ingestion.formats.registry import FORMATS
from tests.repository import REPOSITORY

SCHEMES = frozenset({"http"})
"""Kinds that are also the scheme of an address and a module of Python's library."""
HOMES = ("ingestion/connectors/registry.py", "orchestration/services/", "orchestration/demo/")


def strangers(source: str, kinds: frozenset[str]) -> Iterator[str]:
    """Where a file's source names a kind, as `line: what`."""
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Name):
            names = [node.id]
        elif isinstance(node, ast.Attribute):
            names = [node.attr]
        elif isinstance(node, ast.arg | ast.keyword):
            names = [node.arg or ""]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names = [node.name]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names = [node.value] if node.value not in SCHEMES else []
        elif isinstance(node, ast.alias):
            names = [*_parts(node.name), node.asname or ""]
        elif isinstance(node, ast.ImportFrom):
            names = _parts(node.module or "")
        for name in names:
            if name.lower() in kinds:
                yield f"line {getattr(node, 'lineno', '?')}: {name}"


def _parts(module: str) -> list[str]:
    first, *others = module.split(".")
    return others if first in SCHEMES else [first, *others]


def _files() -> list[str]:
    files = [
        path for package in ("ingestion", "orchestration") for path in (REPOSITORY / package).rglob("*.py")
    ]
    return sorted(str(path.relative_to(REPOSITORY)) for path in files)


@pytest.mark.parametrize("kind", CONNECTORS)
def test_a_kind_is_known_at_home_only(kind: str) -> None:
    homes = (*HOMES, f"ingestion/connectors/{kind}/")
    found = [
        f"{name} {stranger}"
        for name in _files()
        if not name.startswith(homes)
        for stranger in strangers((REPOSITORY / name).read_text(), frozenset({kind}))
    ]
    assert not found, "\n".join(found)


def test_a_format_is_known_at_home_only() -> None:
    """json is also a module of Python's library, so only formats' own imports and values count."""
    found = []
    for name in _files():
        if name.startswith("ingestion/formats/") or name == "ingestion/declare/stream.py":
            continue
        for node in ast.walk(ast.parse((REPOSITORY / name).read_text())):
            if isinstance(node, ast.ImportFrom) and node.module in {
                f"ingestion.formats.{each}" for each in FORMATS
            }:
                found.append(f"{name} imports {node.module}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "source",
    [
        "kafka = 1", "f(kafka=1)", "x.kafka", "def kafka(): ...", "class Kafka: ...", "s = 'kafka'",
        "import kafka.errors", "from ingestion.connectors.kafka.log import KafkaLog", "def f(kafka): ...",
        "from a import b as kafka", "import ingestion.connectors.http.app", "def f(http): ...", "x.http",
    ],
)  # fmt: skip
def test_the_rule_finds_what_it_forbids(source: str) -> None:
    assert list(strangers(source, frozenset({"kafka", "http"})))


def test_the_rule_lets_prose_be() -> None:
    assert not list(
        strangers('"""Kafka is fine in prose."""\nkafkaesque = "a kafka topic"', frozenset({"kafka"}))
    )
    assert not list(strangers('from http.client import X\nscheme = "http"', frozenset({"http"})))


@pytest.mark.parametrize("room", ["log", "formats", "connectors", "spool"])
def test_rooms_that_other_engines_load_import_neither_dlt_duckdb_nor_dagster(room: str) -> None:
    """Executors of other engines read windows and decode them; this process finds out what that imports."""
    modules = [
        ".".join(Path(name).with_suffix("").parts).removesuffix(".__init__")
        for name in _files()
        if name.startswith(f"ingestion/{room}/")
    ]
    program = (
        f"import sys; [__import__(name) for name in {modules!r}]; "
        "print(sorted({'dlt', 'duckdb', 'dagster', 'dbt', 'psycopg2'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=REPOSITORY, check=True
    )
    assert done.stdout.strip() == "[]"
