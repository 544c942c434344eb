"""dbt's graph and selections are worked out once for a manifest, and stay what dbt would find."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from orchestration.dbt import kept_graph
from orchestration.dbt import manifest as dbt_manifest
from orchestration.dbt.call import DbtProject
from orchestration.dbt.results import DbtFailed
from orchestration.dbt.runner import build_args, invoke
from tests.orchestration.tiny_dbt import tiny_project

FILES = {
    "models/first.sql": "select 1 as a",
    "models/second.sql": "{{ config(tags=['late']) }} select * from {{ ref('first') }}",
    "models/third.sql": "{{ config(materialized='view') }} select * from {{ ref('second') }}",
    "models/models.yml": """
models:
  - name: second
    columns: [{name: a, data_tests: [not_null, unique]}]
  - name: third
    columns: [{name: a, data_tests: [not_null]}]
""",
}
SELECTIONS: dict[str, tuple[Sequence[str], Sequence[str]]] = {
    "all": ((), ()),
    "one": (["fqn:first"], ()),
    "two": (["fqn:first", "fqn:second"], ()),
    "without views": (["fqn:second+"], ["config.materialized:view"]),
    "by tag": (["tag:late"], ["resource_type:test"]),
}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[DbtProject]:
    yield tiny_project(tmp_path, FILES)
    dbt_manifest._read_manifest.cache_clear()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often dbt itself was asked for a graph and for a selection."""
    counts = {"graphs": 0, "selections": 0}

    def counted(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def ask(*args: Any, **options: Any) -> Any:
            counts[name] += 1
            return original(*args, **options)

        return ask

    monkeypatch.setattr(kept_graph, "_compile", counted("graphs", kept_graph._compile))
    monkeypatch.setattr(kept_graph, "_selected", counted("selections", kept_graph._selected))
    return counts


def built(project: DbtProject, name: str, **options: Any) -> list[str]:
    select, exclude = SELECTIONS[name]
    results = invoke(project, build_args("build", select=select, exclude=exclude), **options).nodes
    return [result.unique_id for result in results]


def test_the_same_nodes_are_built_in_the_same_order(project: DbtProject, asked: dict[str, int]) -> None:
    plain = dbt_manifest.load_manifest(project)
    found = {}
    for name in SELECTIONS:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(kept_graph, "_NAME", "_nobody_has_this")
            found[name] = built(project, name, manifest=plain)
    asked.update(graphs=0, selections=0)
    assert {name: built(project, name) for name in SELECTIONS} == found
    assert len(set(map(tuple, found.values()))) == len(SELECTIONS), "the selections differ"
    first = dict(asked)
    assert {name: built(project, name) for name in SELECTIONS} == found
    assert asked == first == {"graphs": 1, "selections": 2 * len(SELECTIONS)}


def test_tests_still_hold_back_what_follows(project: DbtProject) -> None:
    assert built(project, "all")
    second = project.project_dir / "models" / "second.sql"
    second.write_text("{{ config(tags=['late']) }} select * from {{ ref('first') }} union all select null")
    for _ in range(2):  # by a graph that is new, and by the kept one
        with pytest.raises(DbtFailed, match="not_null") as failure:
            built(project, "all")
        states = {node.unique_id: node.status for node in failure.value.nodes}
        assert states["model.tiny.third"] == "skipped"


def test_an_edited_project_has_its_own_graph(project: DbtProject) -> None:
    before = built(project, "all")
    (project.project_dir / "models" / "fourth.sql").write_text("select * from {{ ref('third') }}")
    assert set(built(project, "all")) - set(before) == {"model.tiny.fourth"}


def test_an_answer_that_depends_on_earlier_commands_is_not_kept(
    project: DbtProject, asked: dict[str, int], tmp_path: Path
) -> None:
    built(project, "all")
    state = tmp_path / "state" / "earlier"
    state.mkdir()
    (state / "manifest.json").write_bytes(dbt_manifest.parse(project).read_bytes())
    asked.update(selections=0)
    for times in (1, 2):
        invoke(project, ["build", "--select", "state:modified", "--state", str(state)])
        assert asked["selections"] == 3 * times, "dbt asks three times, and each goes to it"


def test_a_manifest_from_elsewhere_is_left_to_dbt(project: DbtProject, asked: dict[str, int]) -> None:
    manifest = dbt_manifest.load_manifest(project)
    copy = dbt_manifest.copy_for_run(manifest)
    assert getattr(copy, kept_graph._NAME) is getattr(manifest, kept_graph._NAME)
    invoke(project, ["list", "--select", "fqn:first"])
    invoke(project, ["list", "--select", "fqn:first"])
    assert asked["graphs"] == 2, "to list them dbt adds no tests' edges"
