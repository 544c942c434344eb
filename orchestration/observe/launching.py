"""Runs a job of Dagster's once for an alert: its key is a tag of the run, which is asked for first.

https://docs.dagster.io/api/graphql: `runsOrError` finds the run, `launchRun` makes it.
"""

import json
import time
from collections.abc import Mapping
from typing import Any, Protocol

from orchestration.conditions.webhook import Answer
from orchestration.reactions.declared import Job
from orchestration.reactions.entries import Notice

TAG = "millrace/alert"
"""The launcher of runs (orchestration/warm) knows it, too, and executes the first of its runs only."""
_AWAY = "the web UI, which starts jobs, does not answer"
_UNSURE_SECONDS = 60.0
"""After a launch without an answer: it may be under way. One that comes even later is not executed."""
_RUNS = """query Runs($tag: String!, $key: String!) {
  runsOrError(filter: {tags: [{key: $tag, value: $key}]}, limit: 1) {
    __typename ... on Runs { results { runId } }
  }
}"""
_PLACES = """query Places {
  repositoriesOrError {
    __typename
    ... on RepositoryConnection { nodes { name location { name } jobs { name } } }
  }
}"""
_LAUNCH = """mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on PythonError { message }
  }
}"""


class Asks(Protocol):
    """Asks the web UI by GraphQL (web/client.py)."""

    def ask(
        self, query: str, variables: Mapping[str, object], *, timeout_s: float
    ) -> Mapping[str, Any] | None:
        """Its data; None when it does not answer with any."""
        ...


class Launcher:
    """For all couriers of a system.

    Args:
        web: Reaches the web UI.
    """

    def __init__(self, web: Asks) -> None:
        self._web = web
        self._unsure: dict[str, float] = {}

    def __call__(self, job: Job, notice: Notice, *, timeout_s: float) -> Answer:
        """Run a job, unless a run for this alert is there.

        Args:
            job: Which.
            notice: What for.
            timeout_s: Of each request, seconds.
        """
        found = self._web.ask(_RUNS, {"tag": TAG, "key": notice.key}, timeout_s=timeout_s)
        runs = (found or {}).get("runsOrError") or {}
        if runs.get("__typename") != "Runs":
            return Answer(_AWAY)
        if runs["results"]:
            self._unsure.pop(notice.key, None)
            return Answer(said=f"run {runs['results'][0]['runId']}")
        if time.monotonic() < self._unsure.get(notice.key, 0.0):
            return Answer("the start of the run was not answered: it may still come")
        place = self._place(job.name, timeout_s=timeout_s)
        return place if isinstance(place, Answer) else self._launch(job, place, notice, timeout_s=timeout_s)

    def _place(self, name: str, *, timeout_s: float) -> dict[str, str] | Answer:
        found = self._web.ask(_PLACES, {}, timeout_s=timeout_s)
        places = (found or {}).get("repositoriesOrError") or {}
        if places.get("__typename") != "RepositoryConnection":
            return Answer(_AWAY)
        for node in places["nodes"]:
            if any(job["name"] == name for job in node["jobs"]):
                return {
                    "repositoryLocationName": node["location"]["name"], "repositoryName": node["name"],
                    "jobName": name,
                }  # fmt: skip
        return Answer(f"Dagster's code has no job '{name}': add it there, or correct the name")

    def _launch(self, job: Job, place: dict[str, str], notice: Notice, *, timeout_s: float) -> Answer:
        alert = json.dumps(notice.content)
        tags = {TAG: notice.key, "millrace/reaction": notice.reaction}
        params = {
            "selector": place,
            "runConfigData": {"ops": {op: {"config": {"alert": alert}} for op in job.ops}},
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
        }
        self._unsure[notice.key] = time.monotonic() + _UNSURE_SECONDS
        found = self._web.ask(_LAUNCH, {"params": params}, timeout_s=timeout_s)
        done = (found or {}).get("launchRun")
        if done is None:
            return Answer(_AWAY)
        del self._unsure[notice.key]  # an answer: it is there, or it is not
        if done["__typename"] == "LaunchRunSuccess":
            return Answer(said=f"run {done['run']['runId']}")
        if done["__typename"] == "RunConfigValidationInvalid":
            return Answer(
                f"job '{job.name}' does not take the alert: its ops need the config 'alert', a text"
            )
        return Answer(f"job '{job.name}' could not be started ({done['__typename']})")
