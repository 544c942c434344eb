"""What the pages of Dagster's UI show of models and tables, as far as it is ours to say."""

import webbrowser
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import (
    AssetKey,
    AssetMaterialization,
    DagsterInstance,
    DataVersion,
    Definitions,
    MaterializeResult,
    asset,
    materialize,
)
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from ingestion.declare.file import load_streams
from ingestion.errors import MillraceError
from ingestion.lake.lake import Lake
from ingestion.lake.sizes import TableSize
from ingestion.land.session import LakeSession
from ingestion.settings import Settings
from orchestration.assets.model_results import model_pages, model_results
from orchestration.assets.raw import raw_asset
from orchestration.cli.open import open_ui
from orchestration.dbt.dagster_specs import ModelTranslator
from orchestration.dbt.lineage import NodeKeys
from orchestration.dbt.results import NodeResult
from orchestration.dbt.sources import render_sources
from orchestration.records.system_state import ServiceRow, SystemState
from orchestration.run.page import preview
from orchestration.run.recorded import materialization
from orchestration.system.lock import only_system, publish

SEEN = AssetKey(["marts", "seen"])
NODES = NodeKeys({"model.p.seen": SEEN}, {})


def node(**changes: Any) -> NodeResult:
    given = {
        "unique_id": "model.p.seen", "status": "success", "seconds": 1.0, "rows_affected": 3, "message": None,
        "failures": None, "relation": '"lake"."marts"."seen"', "sql": "select 1",
    }  # fmt: skip
    return NodeResult(**{**given, **changes})


def test_a_models_rows_are_the_tables_and_what_was_written_has_another_name() -> None:
    (made,) = model_results(
        [node()], NODES, frozenset(), 7,
        versions={"model.p.seen": DataVersion("text")}, sizes={"marts.seen": TableSize(12, 345)},
    )  # fmt: skip
    wanted = {"dagster/row_count": 12, "table_bytes": 345, "rows_written": 3, "snapshot_id": 7}
    assert wanted.items() <= dict(made.metadata or {}).items()
    assert made.data_version == DataVersion("text")


def test_a_raw_table_shows_its_stream_s_owners_and_tags(tmp_path: Path) -> None:
    file = tmp_path / "streams.yml"
    file.write_text(
        "orders: {source: {kafka: orders}, owners: [team:plant, ada@example.org], tags: critical}\n"
        "plain: {source: {kafka: plain}}\n"
    )
    orders, plain = (raw_asset(stream).get_asset_spec() for stream in load_streams(file))
    assert (list(orders.owners), orders.tags["critical"]) == (["team:plant", "ada@example.org"], "")
    assert not plain.owners
    (source,) = yaml.safe_load(render_sources(load_streams(file)))["sources"]
    table, other = (table["config"] for table in source["tables"][:2])
    assert (table["tags"], table["meta"]["owner"]) == (["critical"], ["team:plant", "ada@example.org"])
    assert "tags" not in other, "and dbt's source of them"


def test_a_preview_is_asked_for_bounded_and_cannot_break_its_table(settings: Settings, lake: Lake) -> None:
    lake.query("create schema marts")
    lake.query(
        "create table marts.seen as select n, 'a|b\nc' || repeat('x', 500) as t from range(50) as r(n)"
    )
    assert preview(lake, "marts.seen") == {}  # rows may be private: nobody sees them unasked
    lake.settings = settings.replaced(ui_preview_rows=10)
    lines = preview(lake, "marts.seen")["preview"].value.splitlines()
    assert lines[:2] == ["| n | t |", "| --- | --- |"]
    assert len(lines) == 12
    assert all(len(line) < 90 for line in lines)
    assert r"a\|b c" in lines[2]
    assert "cannot be read" in preview(lake, "marts.gone")["preview"].value


def test_pages_are_observations_once_a_run(settings: Settings, lake: Lake) -> None:
    session = LakeSession(settings)
    seen = list(model_pages(session, [node(), node(status="error")], NODES))
    assert [(each.asset_key, set(each.metadata)) for each in seen] == [(SEEN, {"compiled_sql"})]
    session.close()


@pytest.mark.parametrize(
    ("meta", "expected"),
    [
        ({}, []),
        ({"owner": "ada@example.com"}, ["ada@example.com"]),
        ({"owner": "The data team"}, ["team:The_data_team"]),
        ({"owner": ["team:a", "Bob"]}, ["team:a", "team:Bob"]),
        ({"dagster": {"owners": ["no address"]}}, ["team:no_address"]),
    ],
)
def test_owners_are_such_as_dagster_takes(meta: dict[str, Any], expected: list[str]) -> None:
    node = {"meta": meta, "resource_type": "model", "fqn": ["plant", "marts", "m"], "name": "m"}
    assert ModelTranslator().get_owners(node) == expected


def test_what_follows_from_a_table_is_not_stale_after_each_batch() -> None:
    """As a run's steps and its cycles record them: the table again and again, the view once."""

    @asset(key=["raw", "t"])
    def table() -> MaterializeResult[None]:
        return MaterializeResult(data_version=DataVersion("append-only"))

    @asset(key=["marts", "v"], deps=[table])
    def view() -> None: ...

    with DagsterInstance.ephemeral() as instance:
        materialize([table, view], instance=instance)

        def status() -> StaleStatus:
            graph = Definitions([table, view]).resolve_asset_graph()
            return CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance)).get_status(
                view.key
            )

        assert status() is StaleStatus.FRESH
        made = materialization(table.key, {}, version=DataVersion("append-only"))
        instance.report_runless_asset_event(made)
        assert status() is StaleStatus.FRESH
        instance.report_runless_asset_event(AssetMaterialization(table.key))  # as it was recorded before
        assert status() is StaleStatus.STALE


def test_open_prints_the_address_and_gives_it_to_a_browser(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    class Browser:
        def __init__(self, name: str) -> None:
            self.name = name

        def open(self, address: str) -> bool:
            opened.append(address)
            return True

    settings.data_dir.mkdir(exist_ok=True)
    with pytest.raises(MillraceError, match="nothing runs on"):
        open_ui(settings, run=None)
    with only_system(settings.data_dir):
        publish(settings.data_dir, SystemState(1, "up", "", "", (ServiceRow("web", True, 1, 0, ""),)))
        with pytest.raises(MillraceError, match="has no web UI"):
            open_ui(settings, run=None)
        publish(settings.data_dir, SystemState(1, "up", "http://127.0.0.1:9", "", ()))
        for name, said in (("/usr/bin/w3m", "No browser"), ("firefox", "")):
            monkeypatch.setattr(webbrowser, "get", lambda name=name: Browser(name))
            assert open_ui(settings, run=None) == 0
            assert said in capsys.readouterr().out
        with pytest.raises(MillraceError, match="no run has an id"):
            open_ui(settings, run="0123")
    assert opened == ["http://127.0.0.1:9"]
