"""The flow of this repository's project, and the pictures of it in the docs.

`MILLRACE_FREEZE=1 .venv/bin/python -m pytest tests/orchestration/flow` draws them again.
"""

import re
from pathlib import Path

import pytest

from ingestion.declare.file import load_streams
from ingestion.settings import load_settings
from orchestration.dbt.project import ParsedModels, parse_models
from orchestration.flow.graph import Flow, flow_of
from orchestration.flow.mermaid import mermaid
from orchestration.flow.svg import svg
from tests.frozen.commands import Commands
from tests.frozen.snapshot import check_file
from tests.repository import REPOSITORY

FOLDER = REPOSITORY / "docs"
BLOCK = re.compile(r"(?<=```mermaid\n)flowchart.*?(?=```)", re.DOTALL)


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> ParsedModels:
    settings = load_settings(data_dir=tmp_path_factory.mktemp("flow"))
    return parse_models(settings, load_streams(settings.streams_file))


@pytest.fixture
def flow(parsed: ParsedModels) -> Flow:
    return flow_of(load_streams(REPOSITORY / "streams.yml"), parsed)


def test_an_event_s_way_is_an_arrow_at_each_step(flow: Flow) -> None:
    names = {node.key: node.title for node in flow.nodes}
    arrows = {(names[source], names[target]) for source, target in flow.arrows}
    for step in (
        ("MQTT plant/+/+/telemetry", "spool"),
        ("spool", "raw.plant_telemetry"),
        ("Kafka production_orders", "raw.production_orders"),
        ("raw.plant_telemetry", "stg_plant_telemetry"),
        ("machines", "int_telemetry_enriched"),
        ("int_telemetry_enriched", "machine_minute"),
    ):
        assert step in arrows
    assert not {name for name in names.values() if name.startswith("ops_")}
    columns = {node.key: node.column for node in flow.nodes}
    assert all(columns[source] < columns[target] for source, target in flow.arrows)
    captions = {node.title: node.caption for node in flow.nodes}
    assert captions["order_progress"].startswith("marts, incremental, ")
    assert captions["int_order_events"] == "intermediate, view"


def test_with_the_product_s_models_the_ledger_is_there(parsed: ParsedModels) -> None:
    flow = flow_of(load_streams(REPOSITORY / "streams.yml"), parsed, with_product=True)
    names = {node.key: node.title for node in flow.nodes}
    assert ("raw.batches", "ops_lag") in {(names[source], names[target]) for source, target in flow.arrows}


def test_the_docs_show_it_as_it_is(flow: Flow) -> None:
    check_file(FOLDER / "flow.svg", svg(flow, name="From the plant's sources to its marts"))
    page = FOLDER / "architecture.md"
    text = page.read_text()
    assert len(BLOCK.findall(text)) == 1
    check_file(page, BLOCK.sub(lambda _: mermaid(flow), text))


def test_the_command_says_what_cannot_be_built_and_draws_it(commands: Commands, tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    assert commands.run("new", str(folder), "--example", "shop").code == 0
    (folder / "dbt_project/models/marts/order_delivery.sql").write_text("select {{ 1 + }}")
    done = commands.run("diagram", "-o", str(tmp_path / "flow.svg"), project=folder)
    assert (done.code, done.out) == (0, f"{tmp_path}/flow.svg is written\n")
    assert "models/marts/order_delivery.sql, line 1" in done.err
    drawn = (tmp_path / "flow.svg").read_text()
    assert 'class="left_out"' in drawn
    assert "cannot be built now" in drawn
    for asked, sentence in (
        (("--svg", "--mermaid"), "choose one"),
        (("-o", str(tmp_path / "flow.png")), "name it .svg or .mmd"),
        (("-o", str(tmp_path / "gone" / "flow.svg")), "cannot be written: No such file or directory"),
    ):
        refused = commands.run("diagram", *asked, project=folder)
        assert refused.code == 1
        assert sentence in " ".join(refused.err.split())
