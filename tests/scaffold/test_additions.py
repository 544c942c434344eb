"""What a modeller adds to a project, and what he leaves out: snapshots, seeds, exposures; files."""

import subprocess
import sys
from pathlib import Path

import pytest
from dagster import AssetKey
from dbt_extractor import ExtractionError, py_extract_from_source

from ingestion.settings import Settings, load_settings
from orchestration.build import build_defs, read_project
from orchestration.cli import examinations
from orchestration.dbt.descriptions import declared_descriptions
from orchestration.dbt.extracting import extract
from orchestration.run.plan import refresh_plan
from orchestration.scaffold.new import create_project

SNAPSHOT = """
snapshots:
  - name: order_history
    relation: ref('order_delivery')
    description: How each order looked over time. One row per order and version.
    config: {unique_key: order_id, strategy: check, check_cols: [delivered_at]}
"""
EXPOSURE = """
exposures:
  - name: delivery_board
    type: dashboard
    url: https://bi.example/delivery
    owner: {name: Ada, email: ada@example.org}
    description: What the warehouse looks at.
    depends_on: ["ref('order_delivery')", "source('raw', 'orders')"]
"""


@pytest.fixture
def shop(tmp_path: Path) -> Settings:
    """A small shop's project."""
    create_project(tmp_path / "shop", example="shop")
    return load_settings(project=tmp_path / "shop", data_dir=tmp_path / "data")


def test_snapshots_seeds_and_exposures_are_assets_and_sensors_build_them(shop: Settings) -> None:
    dbt = shop.dbt_folder
    (dbt / "snapshots").mkdir()
    (dbt / "snapshots" / "order_history.yml").write_text(SNAPSHOT)
    (dbt / "seeds" / "countries.csv").write_text("customer,country\nAda,UK\n")
    (dbt / "models" / "exposures.yml").write_text(EXPOSURE)
    graph = build_defs(settings=lambda: shop).resolve_asset_graph()
    history, seed = AssetKey(["snapshots", "order_history"]), AssetKey(["seeds", "countries"])
    board, mart = AssetKey(["exposures", "delivery_board"]), AssetKey(["marts", "order_delivery"])
    assert graph.get(history).parent_keys == {mart}
    assert graph.get(board).parent_keys == {mart, AssetKey(["raw", "orders"])}
    assert graph.get(board).metadata["owner"] == "Ada, ada@example.org"
    assert not graph.get(board).is_materializable
    assert {history, seed} <= graph.materializable_asset_keys

    project = read_project(shop)
    plan = refresh_plan(project.lineage, fingerprint=project.parsed.fingerprint)
    assert history in plan.downstream["orders"]  # with every batch
    assert seed in set(plan.request(["orders"], built="another").asset_selection or ())
    assert project.problems == ()
    assert project.parsed.tables()["snapshots", "order_history"]

    # What every staging model has is described without a file.
    staging = declared_descriptions(project.parsed)["staging", "stg_orders"]
    assert (
        staging.columns["batch_id"] == "Number of the batch within its stream, counting up in commit order."
    )
    assert staging.columns["order_id"] == "Names the order."


def test_a_mart_needs_no_file_but_its_sql(shop: Settings) -> None:
    mart = shop.dbt_folder / "models" / "marts" / "customers.sql"
    mart.write_text(
        "{{ config(unique_key='customer') }} "
        "select customer, count(*) as orders from {{ ref('stg_orders') }} group by 1"
    )
    project = read_project(shop)
    assert project.problems == ()
    assert (
        AssetKey(["marts", "customers"])
        in build_defs(settings=lambda: shop).resolve_asset_graph().get_all_asset_keys()
    )
    notes = {each.message for each in examinations.dbt(shop, project.streams) if each.state != "ok"}
    assert notes == {
        "no contract is checked for customers: where one is wanted, write dbt_project/contracts/<model>.yml"
    }


def test_a_described_column_that_is_not_made_is_a_note(shop: Settings) -> None:
    path = shop.dbt_folder / "models" / "staging" / "stg_orders.yml"
    path.write_text(path.read_text() + "      - name: amount_euro\n        description: What it costs.\n")
    notes = [
        each.message for each in examinations.dbt(shop, read_project(shop).streams) if each.state == "note"
    ]
    assert notes == [
        "the file of stg_orders describes the column 'amount_euro', which streams.yml does not declare for "
        "'orders'; did you mean 'amount_eur'?"
    ]


@pytest.mark.parametrize("example", ["plant", "shop"])
def test_the_examples_describe_what_is_made(tmp_path: Path, example: str) -> None:
    create_project(tmp_path / "project", example=example)
    settings = load_settings(project=tmp_path / "project", data_dir=tmp_path / "data")
    found = list(examinations.dbt(settings, read_project(settings).streams))
    assert [each.state for each in found] == ["ok"], found


def test_a_snapshot_in_yaml_starts_no_thread_when_it_is_parsed(shop: Settings) -> None:
    """A warm process that parses an edited project must still be able to fork."""
    (shop.dbt_folder / "snapshots").mkdir()
    (shop.dbt_folder / "snapshots" / "order_history.yml").write_text(SNAPSHOT)
    program = (
        "import os, sys, dbt.cli.main, dbt.adapters.duckdb\n"
        "from ingestion.settings import load_settings\n"
        "from orchestration.build import read_project\n"
        "settings = load_settings(project=sys.argv[1], data_dir=sys.argv[2])\n"
        "threads = lambda: len(os.listdir('/proc/self/task'))\n"
        "before = threads()\n"
        "project = read_project(settings)\n"
        "assert any(key.path[0] == 'snapshots' for key in project.lineage.keys.values()), project.problems\n"
        "print(threads() - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, shop.project, shop.data_dir], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "0"


@pytest.mark.parametrize(
    ("text", "refs", "sources"),
    [
        ("{{ ref('orders') }}", [("orders", None, None)], []),
        ("{{ ref('shop', 'orders', v=2) }}", [("orders", "shop", 2)], []),
        ("{{ source('raw', 'orders') }}", [], [("raw", "orders")]),
    ],
)
def test_references_are_read_as_dbt_reads_them(text: str, refs: list[object], sources: list[object]) -> None:
    for reads in (extract, py_extract_from_source):
        found = reads(text)
        read = [(each.get("name"), each.get("package"), each.get("version")) for each in found["refs"]]
        assert (read, [tuple(each) for each in found["sources"]]) == (refs, sources), reads
    for nonsense in ("{{ ref( }}", "{{ ref() }}", "{{ other('orders') }}"):
        with pytest.raises(ExtractionError):
            extract(nonsense)
