"""What holds without a lake: the project parses, and it agrees with streams.yml."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from dbt.contracts.graph.manifest import Manifest

from ingestion.declare.stream import Stream
from ingestion.log.envelope import BATCH_SCHEMA, EVENT_SCHEMA, REJECT_SCHEMA, RESOLUTION_SCHEMA
from orchestration.dbt.prepared import PACKAGE, prepare_project
from orchestration.dbt.sources import render_sources, write_sources
from tests.dbt_project.conftest import PROJECT, STREAMS, copy_project, explain, run_dbt

ENVELOPE = {"batch_id", "source_partition", "position", "event_id", "event_key", "event_at", "ingested_at"}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """The parsed project; the data folder does not even exist."""
    folder = tmp_path_factory.mktemp("parse")
    project = copy_project(folder / "dbt")
    prepare_project(STREAMS, project)
    result = run_dbt(project, folder / "no-lake", "parse", "--warn-error")
    assert result.success, explain(result)
    assert isinstance(result.result, Manifest)
    return result.result


def staging_yaml(stream: str) -> dict[str, Any]:
    document = yaml.safe_load((PROJECT / "models" / "staging" / f"stg_{stream}.yml").read_text())
    return dict(document["models"][0])


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_staging_documents_exactly_the_declared_fields(stream: Stream) -> None:
    documented = {column["name"] for column in staging_yaml(stream.name)["columns"]}
    assert documented == ENVELOPE | {"cast_errors"} | set(stream.fields)


def test_every_model_has_one_yaml_and_names_its_grain(manifest: Manifest) -> None:
    for node in manifest.nodes.values():
        if node.resource_type == "model":
            folder = PACKAGE if node.package_name == "millrace" else PROJECT
            path = folder / Path(node.original_file_path).with_suffix(".yml")
            assert path.is_file(), path
            assert "One row per" in node.description.split(". ")[-1], node.name


def test_marts_have_contracts_and_a_freshness_budget(manifest: Manifest) -> None:
    marts = [
        node for node in manifest.nodes.values() if node.fqn[1] == "marts" and node.resource_type == "model"
    ]
    assert {node.name for node in marts} == {
        "alerts", "machine_minute", "machine_status", "order_progress", "order_quality"
    }  # fmt: skip
    for node in marts:
        assert node.contract.enforced, node.name
        assert node.config.meta["freshness_seconds"] == 5, node.name


def test_only_hot_tests_are_free_of_the_tag_full_scan(manifest: Manifest) -> None:
    tests = [node for node in manifest.nodes.values() if node.resource_type == "test"]
    untagged = {node.name for node in tests if "full_scan" not in node.tags and not _is_of_seed(node)}
    assert untagged == {"newest_minutes_count_every_reading"}


def _is_of_seed(node: Any) -> bool:
    return all(parent.startswith("seed.") for parent in node.depends_on.nodes)


def test_sources_carry_what_the_macros_and_dagster_need(manifest: Manifest) -> None:
    sources = {source.name: source for source in manifest.sources.values()}
    telemetry = sources["plant_telemetry"]
    assert (telemetry.database, telemetry.schema) == ("lake", "raw")
    assert telemetry.config.meta["dagster"] == {"asset_key": ["raw", "plant_telemetry"]}
    assert telemetry.meta["dagster"] == telemetry.config.meta["dagster"]
    assert telemetry.config.meta["fields"]["power_kw"] == {"type": "double", "path": "power_kw"}
    ours = {"batches", "rejects", "reject_resolutions", "metrics"}
    assert set(sources) == {stream.name for stream in STREAMS} | ours


@pytest.mark.parametrize(
    ("table", "schema"),
    [
        ("plant_telemetry", EVENT_SCHEMA),
        ("rejects", REJECT_SCHEMA),
        ("batches", BATCH_SCHEMA),
        ("reject_resolutions", RESOLUTION_SCHEMA),
    ],
)
def test_sources_describe_the_columns_that_ingestion_writes(table: str, schema: Any) -> None:
    tables = yaml.safe_load(render_sources(STREAMS))["sources"][0]["tables"]
    described = [column["name"] for entry in tables if entry["name"] == table for column in entry["columns"]]
    assert described == [*schema.names, "_dlt_load_id"]


def test_unchanged_sources_are_not_written_again(tmp_path: Path) -> None:
    path = write_sources(STREAMS, tmp_path)
    first = path.stat()
    assert write_sources(STREAMS, tmp_path).stat().st_ino == first.st_ino
    assert write_sources(STREAMS[:1], tmp_path).stat().st_ino != first.st_ino
    assert "production_orders" not in path.read_text()
    assert list(path.parent.iterdir()) == [path]


def test_braces_in_a_description_do_not_break_dbt(tmp_path: Path) -> None:
    stream = STREAMS[0].model_copy(update={"description": "Sends {{ value }} and {% block %}."})
    project = copy_project(tmp_path / "dbt")
    prepare_project((stream, *STREAMS[1:]), project)
    result = run_dbt(project, tmp_path / "no-lake", "parse")
    assert result.success, explain(result)
