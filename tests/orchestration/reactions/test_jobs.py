"""Jobs as a way out, on a real web server: one run for each alert, also when a kill repeats a try."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from ingestion.environment import child_environment
from ingestion.settings import load_settings
from orchestration.observe.launching import TAG, Launcher
from orchestration.reactions.declared import read_reactions
from orchestration.reactions.entries import read_ledger
from orchestration.web.client import WebClient
from tests.orchestration.reactions.desk import EVENTS, MODEL, Desk
from tests.waiting import eventually

CODE = """
from dagster import Config, Definitions, job, op

class Taken(Config):
    alert: str

@op
def tell(config: Taken):
    print(config.alert)

@job
def page():
    tell()

defs = Definitions(jobs=[page])
"""
DECLARED = "pager: {send: {job: {name: page, ops: [tell]}}}\n"
_RUNS = "query { runsOrError { ... on Runs { results { runId status tags { key value } } } } }"


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebClient]:
    """A web server of Dagster's with one job."""
    folder = tmp_path_factory.mktemp("dagster")
    (folder / "paging.py").write_text(CODE)
    (folder / "dagster.yaml").write_text(yaml.safe_dump({"telemetry": {"enabled": False}}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    argv = [str(Path(sys.executable).with_name("dagster-webserver")), "-h", "127.0.0.1", "-p", str(port)]
    argv += ["-f", str(folder / "paging.py")]
    process = subprocess.Popen(argv, cwd=folder, env=child_environment({"DAGSTER_HOME": str(folder)}))
    client = WebClient(load_settings(project=folder, data_dir=folder / "data"), port)
    try:
        eventually(lambda: client.ask(_RUNS, {}, timeout_s=5), "it answers", seconds=240)
        yield client
    finally:
        process.terminate()
        process.wait(60)


def runs_of(web: WebClient) -> dict[str, list[str]]:
    """Key of an alert → the runs that there are for it."""
    found: dict[str, list[str]] = {}
    data = web.ask(_RUNS, {}, timeout_s=60)
    assert data is not None
    for run in data["runsOrError"]["results"]:
        for tag in run["tags"]:
            if tag["key"] == TAG:
                found.setdefault(tag["value"], []).append(run["runId"])
    return found


class Deaf:
    """A web server that does what it is asked, and whose answers to launches are lost."""

    def __init__(self, web: WebClient) -> None:
        self._web, self.lost = web, 0

    def ask(
        self, query: str, variables: Mapping[str, object], *, timeout_s: float
    ) -> Mapping[str, Any] | None:
        answer = self._web.ask(query, variables, timeout_s=timeout_s)
        if "launchRun" not in query:
            return answer
        self.lost += 1
        return None


@pytest.mark.slow("a web server of Dagster's")
def test_a_job_runs_once_for_each_alert_also_when_the_answer_is_lost(tmp_path: Path, web: WebClient) -> None:
    (tmp_path / "reactions.yml").write_text(DECLARED)
    desk, deaf = Desk(tmp_path), Deaf(web)
    desk.look()
    desk.reacting.start(desk.settings, launch=Launcher(deaf))
    desk.note([MODEL])
    eventually(lambda: desk.entries("delivered"), "the run is found by its tag", seconds=120)
    desk.reacting.stop()
    assert deaf.lost == 1
    ledger = tmp_path / "data" / "conditions" / "reactions.jsonl"
    lines = ledger.read_text().splitlines()
    ledger.write_text("".join(f"{line}\n" for line in lines if '"delivered"' not in line))
    assert [each.state for each in read_ledger(tmp_path / "data").entries.values()] == ["pending"]
    again = Desk(tmp_path)
    again.look()
    again.reacting.start(again.settings, launch=Launcher(web))
    again.note([])
    eventually(lambda: len(again.entries("delivered")) == 2, "a kill before the note starts nothing again")
    again.reacting.stop()
    entries, runs = again.entries(), runs_of(web)
    assert [each.notice.content["event"] for each in entries] == list(EVENTS)
    assert {each.notice.key: [each.answer.removeprefix("run ")] for each in entries} == {
        key: found for key, found in runs.items() if key in {each.notice.key for each in entries}
    }


@pytest.mark.slow("a web server of Dagster's")
@pytest.mark.parametrize(
    ("declared", "sentence"),
    [
        ("{name: paeg}", "Dagster's code has no job 'paeg'"),
        ("{name: page, ops: [tel]}", "job 'page' does not take the alert"),
    ],
    ids=["no-job", "no-op"],
)
def test_a_job_that_cannot_run_is_said(tmp_path: Path, web: WebClient, declared: str, sentence: str) -> None:
    (tmp_path / "reactions.yml").write_text(f"pager: {{send: {{job: {declared}}}}}\n")
    desk = Desk(tmp_path)
    desk.look()
    desk.reacting.start(desk.settings, launch=Launcher(web))
    desk.note([MODEL])
    eventually(lambda: sentence in desk.said().get("pager", ""), "it is said")
    desk.reacting.stop()


def test_without_a_web_ui_the_alert_waits(tmp_path: Path) -> None:
    (tmp_path / "reactions.yml").write_text(DECLARED)
    with Desk(tmp_path).sending() as desk:
        desk.note([MODEL])
        eventually(lambda: "no web UI runs here" in desk.said().get("pager", ""), "it is said")
    assert json.dumps([each.state for each in desk.entries()]) == '["pending"]'
    assert not read_reactions(DECLARED)[0].combines
