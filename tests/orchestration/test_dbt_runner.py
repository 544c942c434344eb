"""dbt in process, on a throwaway project and a DuckDB file."""

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dbt.adapters.duckdb.connections import DuckDBConnectionManager

from orchestration.cli.errors import sentence
from orchestration.dbt import manifest as dbt_manifest
from orchestration.dbt import runner as dbt_runner
from orchestration.dbt.call import DbtProject
from orchestration.dbt.flushing import Flusher, flush_after_commits
from orchestration.dbt.manifest import load_manifest, parse, project_fingerprint
from orchestration.dbt.results import DbtFailed, failure
from orchestration.dbt.runner import build_args, invoke

FILES = {
    "dbt_project.yml": """
name: tiny
version: "1.0.0"
profile: tiny
models: {tiny: {+materialized: table}}
""",
    "profiles.yml": """
tiny:
  target: dev
  outputs:
    dev: {type: duckdb, path: "{{ env_var('TINY_DATABASE') }}", threads: 2}
    other: {type: duckdb, path: "{{ env_var('TINY_DATABASE') }}", schema: elsewhere, threads: 1}
""",
    "models/numbers.sql": "select i from range({{ var('rows', 3) }}) as t(i)",
    "models/kept.sql": "{{ config(materialized='incremental') }} select i from {{ ref('numbers') }}",
    "models/passing.sql": "{{ config(materialized='ephemeral') }} select i from {{ ref('kept') }}",
    "models/total.sql": "select {{ var('divisor', 1) }} as divisor, count(*) as n from {{ ref('passing') }}",
    "models/last.sql": "select n from {{ ref('total') }}",
    "models/numbers.yml": """
models:
  - name: numbers
    columns:
      - name: i
        data_tests: [{accepted_values: {arguments: {values: [0, 1, 2], quote: false}}}]
""",
}


@pytest.fixture
def project(tmp_path: Path) -> DbtProject:
    folder = tmp_path / "project"
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return DbtProject(
        project_dir=folder,
        profiles_dir=folder,
        state_dir=tmp_path / "state",
        environment={"TINY_DATABASE": str(tmp_path / "tiny.duckdb")},
    )


@pytest.fixture(autouse=True)
def forget_the_kept_manifest() -> Iterator[None]:
    yield
    dbt_manifest._read_manifest.cache_clear()


def rows(project: DbtProject, sql: str) -> list[tuple[object, ...]]:
    with duckdb.connect(project.environment["TINY_DATABASE"]) as connection:
        return connection.execute(sql).fetchall()


def test_arguments_say_only_what_was_asked() -> None:
    assert build_args("build") == ["build"]
    assert build_args("run", select=["stg_a+", "tag:x"], exclude=["b"], full_refresh=True) == [
        "run",
        "--select",
        "stg_a+",
        "tag:x",
        "--exclude",
        "b",
        "--full-refresh",
    ]


def test_parsing_needs_no_database_and_happens_once_per_state(project: DbtProject) -> None:
    unreachable = replace(project, environment={"TINY_DATABASE": "/nonexistent/folder/tiny.duckdb"})
    manifest = parse(unreachable)
    assert "model.tiny.total" in json.loads(manifest.read_text())["nodes"]
    first = manifest.stat().st_mtime_ns
    assert parse(unreachable) == manifest
    assert manifest.stat().st_mtime_ns == first


def test_parsing_and_warming_up_leave_no_thread_that_would_make_a_fork_unsafe(project: DbtProject) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        before, after = pool.apply(threads_around_parse, (project,))
    assert after <= before


def threads_around_parse(project: DbtProject) -> tuple[int, int]:
    import dbt.adapters.duckdb  # noqa: F401, RUF100

    before = len(os.listdir("/proc/self/task"))
    parse(project)
    dbt_runner.warm_up(project)
    return before, len(os.listdir("/proc/self/task"))


def test_warming_up_prints_nothing_and_needs_no_database(
    project: DbtProject, capfd: pytest.CaptureFixture[str]
) -> None:
    nowhere = replace(project, environment={**project.environment, "TINY_DATABASE": "/nonexistent/no.duckdb"})
    dbt_runner.warm_up(nowhere)
    assert capfd.readouterr().out == ""


def written(project: DbtProject, name: str, text: str) -> DbtProject:
    (project.project_dir / name).write_text(text)
    return project


@pytest.mark.parametrize(
    "change",
    [
        lambda p: replace(p, variables={"rows": 2}),
        lambda p: replace(p, target="other"),
        lambda p: replace(p, environment={**p.environment, "ANOTHER": "1"}),
        lambda p: written(p, "models/more.sql", "select 1 as one"),
        lambda p: (
            (p.project_dir / "models/last.sql").write_text("select n + 1 as n from {{ ref('total') }}"),
            p,
        )[1],
    ],
    ids=["variables", "target", "environment", "new file", "edited file"],
)
def test_what_parsing_depends_on_changes_the_fingerprint(project: DbtProject, change: object) -> None:
    before = project_fingerprint(project)
    assert project_fingerprint(project) == before
    assert project_fingerprint(change(project)) != before  # type: ignore[operator]


def test_outputs_of_dbt_do_not_change_the_fingerprint(project: DbtProject) -> None:
    before = project_fingerprint(project)
    for folder in ("target", "logs", "dbt_packages", ".hidden"):
        path = project.project_dir / folder / "x.sql"
        path.parent.mkdir()
        path.write_text("select 1")
    assert project_fingerprint(project) == before


def test_an_edit_gives_a_new_manifest(project: DbtProject) -> None:
    old = load_manifest(project)
    assert load_manifest(project) is old
    (project.project_dir / "models/more.sql").write_text("select 1 as one")
    assert "model.tiny.more" in load_manifest(project).nodes


def test_concurrent_parsing_ends_in_one_whole_state(project: DbtProject) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        paths = pool.map(parse, [project, project])
    assert paths[0] == paths[1]
    assert [path.name for path in paths[0].parent.parent.iterdir()] == [paths[0].parent.name]
    assert not list(project.state_dir.glob("parsing-*"))


def test_build_reports_each_node(project: DbtProject) -> None:
    result = invoke(project, build_args("build"))
    nodes = {node.unique_id.split(".")[2]: node for node in result.nodes}
    assert nodes["total"].status == "success"
    assert nodes["total"].relation == '"tiny"."main"."total"'
    assert nodes["total"].seconds > 0
    assert all(0 < (node.cpu_seconds or 0) < 60 for node in nodes.values())
    (test,) = [node for node in result.nodes if node.unique_id.startswith("test.")]
    assert (test.status, test.failures, test.relation) == ("pass", 0, None)
    assert rows(project, f"select count(*) from ({test.sql})") == [(0,)]
    assert rows(project, "select n from last") == [(3,)]
    assert "TINY_DATABASE" not in os.environ


def test_who_waits_for_a_model_hears_of_it_before_the_next_one(project: DbtProject) -> None:
    heard = dict[str, bool]()

    def note(unique_id: str) -> None:
        cursor = DuckDBConnectionManager.env().handle().cursor()
        cursor.execute("select 1 from duckdb_tables() where table_name = 'last'")
        heard[unique_id] = bool(cursor.fetchall())

    invoke(project, build_args("build"), on_built=note)
    names = ("numbers", "kept", "passing", "total", "last")
    assert heard == {f"model.tiny.{name}": name == "last" for name in names}
    heard.clear()
    with pytest.raises(DbtFailed):
        invoke(replace(project, variables={"rows": 9}), build_args("build"), on_built=note)
    assert heard == {"model.tiny.numbers": True}, "its test failed, and the others were skipped"


def test_three_in_a_row_with_a_failing_one_between(project: DbtProject) -> None:
    manifest = load_manifest(project)
    invoke(project, build_args("build"), manifest=manifest)
    broken = replace(project, variables={"divisor": "cast('abc' as int)"})
    with pytest.raises(DbtFailed) as caught:
        invoke(broken, build_args("build"), manifest=manifest)
    message = str(caught.value)
    assert message.startswith("model.tiny.total (error): ")
    assert message.endswith("The command was `dbt build`.")
    assert sentence(caught.value) == message
    assert "Could not convert string 'abc'" in message
    assert "1 nodes downstream were skipped" in message
    assert "\n" not in message
    states = {node.unique_id: node.status for node in caught.value.nodes}
    assert (states["model.tiny.kept"], states["model.tiny.last"]) == ("success", "skipped")
    invoke(project, build_args("build"), manifest=manifest)
    assert rows(project, "select n from last") == [(9,)]


def test_a_failing_test_names_the_rows(project: DbtProject) -> None:
    with pytest.raises(DbtFailed, match=r"accepted_values.*\(fail\): Got 2 results") as caught:
        invoke(replace(project, variables={"rows": 5}), build_args("build", select=["numbers"]))
    assert [node.failures for node in caught.value.nodes if node.failed] == [2]


@pytest.mark.parametrize(
    "why",
    [
        "Another run wrote staging.stg_orders meanwhile; run dbt again",
        "Failed to commit DuckLake transaction.\nTransaction conflict - attempting to delete from table 7",
    ],
)
def test_a_conflict_with_another_writer_says_what_to_do(why: str) -> None:
    told = str(failure("dbt build --select " + "fqn:model " * 100, (), RuntimeError(why)))
    assert told.startswith(f"dbt stopped: {why.split()[0]}")
    assert "Another writer committed first: run the command again." in told[:200]


def test_selection_and_full_refresh(project: DbtProject) -> None:
    invoke(project, build_args("run"))
    invoke(project, build_args("run", select=["kept"]))
    assert rows(project, "select count(*) from kept") == [(6,)]
    result = invoke(project, build_args("run", select=["kept"], full_refresh=True))
    assert [node.unique_id for node in result.nodes] == ["model.tiny.kept"]
    assert rows(project, "select count(*) from kept") == [(3,)]


def test_the_target_decides_where(project: DbtProject) -> None:
    invoke(replace(project, target="other"), build_args("run", select=["numbers"]))
    assert rows(project, "select count(*) from elsewhere.numbers") == [(3,)]


class Counting(Flusher):
    """Of no lake."""

    def __init__(self) -> None:
        self.flushes = 0

    def flush(self, connection: Any) -> None:
        self.flushes += 1


@pytest.mark.slow("a project is built three times")
def test_only_commits_to_the_lake_are_flushed(project: DbtProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DuckDBConnectionManager, "commit", DuckDBConnectionManager.commit)
    flusher = Counting()
    invoke(project, build_args("run", select=["numbers"]))
    flush_after_commits(flusher, DuckDBConnectionManager.env().creds)
    invoke(replace(project, target="other"), build_args("run", select=["numbers"]))
    assert flusher.flushes == 0, "a target that the process went on to"
    invoke(project, build_args("run", select=["numbers"]))
    assert flusher.flushes > 0


def test_a_project_that_does_not_parse_says_where(project: DbtProject) -> None:
    folder = project.project_dir / "macros"
    folder.mkdir()
    (folder / "bad.sql").write_text("{% macro bad( %}")
    with pytest.raises(DbtFailed, match=r"project/macros/bad\.sql, line 1: Reached EOF"):
        invoke(project, build_args("build"))


def test_a_wrong_argument_is_a_failure(project: DbtProject) -> None:
    with pytest.raises(DbtFailed, match="No such option"):
        invoke(project, ["build", "--no-such-option"])


class Interrupted(BaseException):
    """As an orchestrator's signal handler raises it: no KeyboardInterrupt."""


@pytest.mark.parametrize("before_it_begins", [False, True])
def test_an_interrupt_ends_a_query_at_once_and_comes_out_as_it_was(
    project: DbtProject, before_it_begins: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(project, "models/endless.sql", "select sum(a + b) from range(9000000) x(a), range(9000000) y(b)")
    manifest = load_manifest(project)
    cancelled = threading.Event()
    cancel = DuckDBConnectionManager.cancel_open

    def cancel_open(connections: DuckDBConnectionManager) -> list[str]:
        names: list[str] = cancel(connections)
        cancelled.set()
        return names

    monkeypatch.setattr(DuckDBConnectionManager, "cancel_open", cancel_open)

    def handler(_number: int, _frame: object) -> None:
        raise Interrupted

    def once_it_runs(event: Any) -> None:
        if event.info.name == "LogStartLine" and before_it_begins:
            os.kill(os.getpid(), signal.SIGTERM)
            assert cancelled.wait(60)
        elif event.info.name == "LogStartLine":
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()

    before = signal.signal(signal.SIGTERM, handler)
    try:
        with pytest.raises(Interrupted):
            invoke(
                project,
                build_args("run", select=["endless"]),
                manifest=manifest,
                on_event=once_it_runs,
            )
        assert signal.getsignal(signal.SIGTERM) is handler
        assert cancelled.is_set()
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("callback", ["on_event", "on_built"])
def test_an_exception_in_a_callback_comes_out_after_dbt(project: DbtProject, callback: str) -> None:
    def refuse(_event: Any) -> None:
        raise LookupError("no such asset")

    with pytest.raises(LookupError, match="no such asset"):
        invoke(project, build_args("run"), **{callback: refuse})
    assert rows(project, "select n from last") == [(3,)]


def test_events_arrive_and_the_console_stays_silent(
    project: DbtProject, capfd: pytest.CaptureFixture[str]
) -> None:
    names: list[str] = []
    invoke(project, build_args("run"), on_event=lambda event: names.append(event.info.name))
    assert names.count("LogModelResult") == 4
    assert capfd.readouterr() == ("", "")
    assert (project.state_dir / "logs" / "dbt.log").stat().st_size > 0
    assert not (project.project_dir / "target").exists()
    assert not (project.project_dir / "logs").exists()
