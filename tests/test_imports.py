"""Who may import whom: the table of docs/architecture.md, read from the code itself."""

import ast
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import pytest

from tests.repository import REPOSITORY

BROKER_CLIENTS = {"kafka", "confluent_kafka", "paho"}
_ENVIRONMENT = {"environ", "environb", "getenv", "getenvb"}
ALLOWED = {
    "dlt": {"ingestion/lake/dlt_lake.py"},
    "kafka": {
        "ingestion/connectors/kafka/log.py",
        "ingestion/connectors/kafka/blocks.py",
        "ingestion/connectors/kafka/durability.py",
        "ingestion/connectors/kafka/epochs.py",
        "ingestion/connectors/kafka/first_times.py",
        "ingestion/connectors/kafka/refusals.py",
        "ingestion/connectors/kafka/send.py",
        "ingestion/connectors/kafka/tail.py",
    },
    "confluent_kafka": {"ingestion/connectors/kafka/librdkafka.py"},
    "paho": {
        "ingestion/connectors/mqtt/connection.py",
        "ingestion/connectors/mqtt/durability.py",
        "ingestion/connectors/mqtt/peek.py",
        "ingestion/connectors/mqtt/protocol.py",
        "ingestion/connectors/mqtt/send.py",
        "ingestion/connectors/mqtt/subscriptions.py",
        "ingestion/connectors/mqtt/visit.py",
    },
    "soda_core": {"orchestration/checks/soda_library.py"},
    "soda_duckdb": {"orchestration/checks/soda_library.py"},
    "dbt": {
        "orchestration/dbt/attaching.py",
        "orchestration/dbt/call.py",
        "orchestration/dbt/events.py",
        "orchestration/dbt/extracting.py",
        "orchestration/dbt/flushing.py",
        "orchestration/dbt/kept_graph.py",
        "orchestration/dbt/manifest.py",
        "orchestration/dbt/runner.py",
        "orchestration/dbt/sparing.py",
    },
    "openlineage": {"ingestion/telemetry/lineage_events.py"},
    "opentelemetry": {"ingestion/telemetry/spans.py"},
    "dagster_webserver": {"orchestration/web/__main__.py"},
    "starlette": {
        "ingestion/connectors/http/app.py",
        "ingestion/connectors/http/marts.py",
        "ingestion/connectors/http/reading.py",
        "orchestration/page/app.py",
        "orchestration/page/door.py",
        "orchestration/web/guard.py",
    },
    "uvicorn": {
        "ingestion/connectors/http/protocol.py",
        "ingestion/connectors/http/server.py",
        "orchestration/page/__main__.py",
        "orchestration/web/__main__.py",
    },
    "psycopg2": {
        "ingestion/lake/catalog.py",
        "ingestion/backup/catalog.py",
        "ingestion/backup/instants.py",
        "ingestion/lake/claim.py",
        "ingestion/lake/first_rows.py",
        "ingestion/lake/indexes.py",
        "ingestion/lake/newest.py",
        "ingestion/lake/sizes.py",
        "ingestion/lake/tables.py",
        "ingestion/lake/versions.py",
        "ingestion/migrate/prepare.py",
        "ingestion/serve/instants.py",
        "orchestration/serving/address.py",
        "orchestration/serving/look.py",
        "orchestration/serving/publication.py",
        "orchestration/serving/published.py",
        "orchestration/serving/publisher.py",
        "orchestration/serving/role.py",
        "orchestration/services/postgres.py",
        "orchestration/records/reader.py",
    },
}


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide who depends on whom"
            yield node.module or ""


def _files(package: str) -> list[str]:
    return sorted(str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / package).rglob("*.py"))


@pytest.mark.parametrize("name", _files("ingestion"))
def test_ingestion_knows_neither_dagster_nor_dbt_nor_soda(name: str) -> None:
    forbidden = {"dagster", "dagster_dbt", "dbt", "soda_core", "soda_duckdb", "orchestration"}
    assert not {module.split(".")[0] for module in _imports(REPOSITORY / name)} & forbidden


@pytest.mark.parametrize("name", [*_files("ingestion"), *_files("orchestration")])
def test_each_library_has_its_room(name: str) -> None:
    for module in _imports(REPOSITORY / name):
        allowed = ALLOWED.get(module.split(".")[0])
        demo = name.startswith("orchestration/demo/") and module.split(".")[0] in BROKER_CLIENTS
        assert allowed is None or name in allowed or demo, f"{name} imports {module}"


def reads_of_the_environment(source: str) -> list[int]:
    """Lines that read it, or may; setting a variable for a library is no read."""
    tree = ast.parse(source)
    writes = {
        id(node.func.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "update"
    }
    return [
        node.lineno
        for node in ast.walk(tree)
        if (isinstance(node, ast.Attribute) and node.attr in _ENVIRONMENT and id(node) not in writes)
        or (isinstance(node, ast.ImportFrom) and node.module == "os")
    ]


@pytest.mark.parametrize("name", [*_files("ingestion"), *_files("orchestration")])
def test_only_settings_reads_the_environment(name: str) -> None:
    if name not in ("ingestion/environment.py", "ingestion/settings.py"):
        lines = reads_of_the_environment((REPOSITORY / name).read_text())
        assert not lines, f"{name} reads the environment on line {lines}"


@pytest.mark.parametrize(
    "source",
    [
        "os.environ['A']",
        "os.getenv('A')",
        "dict(os.environ)",
        "from os import environ",
        "os.environ.get('A')",
    ],
)
def test_every_way_of_reading_the_environment_is_found(source: str) -> None:
    assert reads_of_the_environment(source)


def test_setting_a_variable_is_no_read() -> None:
    assert not reads_of_the_environment("os.environ.update({'A': '1'})")


def _names(source: str) -> Iterator[tuple[str, str]]:
    """(module, name) of each of our names that a source imports, programs in its strings included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in (
            "ingestion",
            "orchestration",
        ):
            yield from ((str(node.module), alias.name) for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "\nfrom " in node.value:
            with suppress(SyntaxError):
                yield from _names(node.value)


@pytest.mark.parametrize("folder", ["benchmarks", "deploy", "tests"])
def test_every_name_that_tests_and_benchmarks_import_is_there(folder: str) -> None:
    """Benchmarks, and programs that tests start, are seldom run: a moved name must be found before that."""
    missing = []
    for path in sorted((REPOSITORY / folder).rglob("*.py")):
        for module, name in _names(path.read_text()):
            if not hasattr(import_module(module), name):
                with suppress(ModuleNotFoundError):
                    import_module(f"{module}.{name}")
                    continue
                missing.append(f"{path.relative_to(REPOSITORY)}: {module}.{name}")
    assert not missing, "\n".join(missing)
