"""A dbt project with something broken in it: the rest is parsed, what is left out is named with a reason."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestration.dbt import manifest as dbt_manifest
from orchestration.dbt.broken import Broken, project_findings
from orchestration.dbt.call import DbtProject
from orchestration.dbt.manifest import broken_in, load_manifest, parsed_state
from orchestration.dbt.results import DbtFailed
from orchestration.dbt.runner import build_args, invoke
from tests.orchestration.test_dbt_runner import rows

PROJECT = {
    "dbt_project.yml": "name: tiny\nversion: '1.0.0'\nprofile: tiny\nmodels: {tiny: {+materialized: table}}",
    "profiles.yml": """
tiny:
  target: dev
  outputs:
    dev: {type: duckdb, path: "{{ env_var('TINY_DATABASE') }}", threads: 1}
""",
    "macros/twice.sql": "{% macro twice(x) %}{{ x }} + {{ x }}{% endmacro %}",
    "seeds/names.csv": "i,name\n1,one\n",
    "models/sources.yml": "sources: [{name: raw, schema: main, tables: [{name: a}, {name: b}]}]\n",
    "models/staging/left.sql": "select 1 as i -- {{ source('raw', 'a') }}",
    "models/staging/right.sql": "select {{ twice(1) }} as i -- {{ source('raw', 'b') }}",
    "models/marts/on_left.sql": "select i from {{ ref('left') }}",
    "models/marts/on_right.sql": "select i from {{ ref('right') }} join {{ ref('names') }} using (i)",
    "models/marts/on_both.sql": "select * from {{ ref('on_left') }} cross join {{ ref('on_right') }}",
    "models/staging/left.yml": """
models:
  - name: left
    description: The left one. One row.
    columns: [{name: i, data_tests: [not_null]}]
  - name: on_left
    columns: [{name: on_right}]
unit_tests:
  - name: one_is_one
    model: on_left
    given: [{input: ref('left'), rows: [{i: 1}]}]
    expect: {rows: [{i: 1}]}
""",
    "tests/agree.sql": "select * from {{ ref('left') }} where i <> 1",
}
ALL = {"left", "right", "on_left", "on_right", "on_both", "names"}
LEFT = {"left", "on_left", "on_both"}
Edit = Callable[[Path], object]


@pytest.fixture
def project(tmp_path: Path) -> DbtProject:
    folder = tmp_path / "project"
    for name, text in PROJECT.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    environment = {"TINY_DATABASE": str(tmp_path / "tiny.duckdb")}
    return DbtProject(folder, folder, tmp_path / "state", environment=environment)


@pytest.fixture(autouse=True)
def forget_the_kept_manifest() -> Iterator[None]:
    yield
    dbt_manifest._read_manifest.cache_clear()


def text(name: str, content: str) -> Edit:
    def edit(folder: Path) -> None:
        (folder / name).write_text(content)

    return edit


def models(project: DbtProject) -> set[str]:
    return {
        node.name for node in load_manifest(project).nodes.values() if node.resource_type in ("model", "seed")
    }


@pytest.mark.parametrize(
    ("edit", "left_out", "told"),
    [
        (
            text("models/staging/left.sql", "select 1 as i\n{{ foo( }}"),
            LEFT,
            "models/staging/left.sql, line 2: unexpected '}'",
        ),
        (text("models/staging/left.sql", "{{ 1 / 0 }}"), LEFT, "left.sql: division by zero"),
        (text("models/marts/on_left.sql", "{{ ref('gone') }}"), LEFT - {"left"}, "a node named 'gone'"),
        (text("models/staging/left.sql", "{{ source('raw', 'gone') }}"), LEFT, "a source named 'raw.gone'"),
        (
            lambda folder: (folder / "models/staging/left.sql").write_bytes(b"select '\xff\xfe'"),
            LEFT,
            "staging/left.sql: 'utf-8' codec can't decode",
        ),
        (text("models/more.sql", "{{ ref('more') }}"), {"more"}, "refer to each other in a circle (more)"),
        (
            text("models/staging/left.sql", "{{ ref('on_both') }}"),
            LEFT,
            "refer to each other in a circle",
        ),
        (
            text("models/staging/on_right.sql", "select 1"),
            {"on_right", "on_both"},
            'dbt found two models with the name "on_right"',
        ),
        (text("models/staging/left.yml", "models:\n  - name: left\n  - : [\n"), LEFT, "left.yml, line 3"),
        (text("models/staging/left.yml", "- 1\n"), LEFT, "are not valid. Dictionary expected"),
        (
            text("models/staging/left.yml", "models: [{name: left, columns: 3}]"),
            LEFT,
            "models/staging/left.yml: Invalid models config",
        ),
        (
            text("models/sources.yml", PROJECT["models/sources.yml"] + "\n- ["),
            ALL - {"names"},
            "models/sources.yml, line",
        ),
        (text("seeds/names.yml", "seeds: 3"), {"names", "on_right", "on_both"}, "seeds/names.yml"),
        (text("tests/agree.sql", "{{ foo( }}"), set(), "tests/agree.sql, line 1"),
        (
            text("models/marts/on_right.yml", "models: [{name: on_right, data_tests: [3]}]"),
            set(),
            "Until then its tests are left out",
        ),
        (
            text(
                "models/marts/on_right.yml",
                "unit_tests: [{name: x, model: gone, given: [], expect: {rows: []}}]",
            ),
            set(),
            "for unit test 'x'",
        ),
    ],
)
def test_what_is_broken_and_what_follows_from_it_is_left_out(
    project: DbtProject, edit: Edit, left_out: set[str], told: str
) -> None:
    edit(project.project_dir)
    broken = broken_in(parsed_state(project))
    assert models(project) == (ALL | {"more"} if "more" in left_out else ALL) - left_out
    assert broken.names() == left_out
    assert not broken.everything
    (problem,) = set(broken.problems)
    assert told in problem
    assert problem.startswith("project/")
    assert all(name in problem for name in left_out)
    assert all(model.why.partition(" It follows")[0] in problem for model in broken.models)


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (text("macros/twice.sql", "{% macro twice( %}"), "project/macros/twice.sql, line 1: Reached EOF"),
        (text("macros/again.sql", PROJECT["macros/twice.sql"]), 'multiple macros named "twice"'),
        (text("dbt_project.yml", "name: [\n"), "project: "),
        (text("profiles.yml", "tiny: 3"), "project: "),
    ],
)
def test_without_its_macros_or_its_settings_no_model_is_built(
    project: DbtProject, edit: Edit, told: str
) -> None:
    edit(project.project_dir)
    broken = broken_in(parsed_state(project))
    assert broken.everything
    assert broken.names() == ALL
    assert told in broken.problems[0]
    assert "events go on landing" in broken.problems[0]
    with pytest.raises(DbtFailed, match="no model is built"):
        load_manifest(project)


def test_the_rest_is_built_from_the_project_itself_and_its_keys_stay(project: DbtProject) -> None:
    text("models/staging/left.sql", "{{ foo( }}")(project.project_dir)
    text("models/marts/on_both.sql", "{{ bar( }}")(project.project_dir)
    invoke(project, build_args("build"))
    assert rows(project, "select name from names") == [("one",)]
    broken = broken_in(parsed_state(project))
    assert len(broken.problems) == 2
    (left,) = (model for model in broken.models if model.name == "left")
    assert (left.unique_id, left.fqn, left.parents) == ("model.tiny.left", ("tiny", "staging", "left"), ())
    (follower,) = (model for model in broken.models if model.name == "on_left")
    assert follower.parents == ("model.tiny.left",)
    assert follower.why.endswith("It follows from left.")


def test_a_broken_project_is_parsed_once_per_edit_and_a_healthy_one_once(project: DbtProject) -> None:
    state = parsed_state(project)
    assert broken_in(state) == Broken()
    assert [path.name for path in state.iterdir() if path.name == "broken.json"] == []
    text("models/staging/left.sql", "{{ foo( }}")(project.project_dir)
    first = parsed_state(project)
    assert first != state
    made = first.stat().st_ino
    assert parsed_state(project).stat().st_ino == made
    assert not [path for path in project.state_dir.iterdir() if path.name.startswith(("rest-", "parsing-"))]
    text("models/staging/left.sql", PROJECT["models/staging/left.sql"])(project.project_dir)
    assert models(project) == ALL


def test_a_failure_of_the_machine_is_not_remembered(project: DbtProject) -> None:
    secret = project.project_dir / "models/staging/left.sql"
    if os.geteuid() == 0:
        secret.unlink()
        secret.symlink_to("/nonexistent")
    else:
        secret.chmod(0)
    with pytest.raises(DbtFailed, match=r"left\.sql"):
        parsed_state(project)
    secret.unlink()
    secret.write_text(PROJECT["models/staging/left.sql"])
    assert models(project) == ALL


def test_what_is_broken_is_one_finding_a_file() -> None:
    problems = ["dbt_project/models/a.sql, line 3: no", "dbt_project/contracts/b.yml is not checked: why"]
    found = [(each.name, each.subject, each.sentence) for each in project_findings(problems)]
    assert found == [
        ("project_file_broken", "dbt_project/models/a.sql", problems[0]),
        ("project_file_broken", "dbt_project/contracts/b.yml", problems[1]),
    ]
    replaced = replace(Broken(("p",)), everything=True)
    assert Broken.loads(replaced.dumps()) == replaced
