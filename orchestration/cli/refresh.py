"""`millrace refresh`: asks the running system's web UI to launch the job `refresh`."""

import json
import sys
from urllib.parse import urlsplit

from ingestion.data_folder import system_is_running
from ingestion.errors import MillraceError
from ingestion.settings import Settings
from orchestration.cli.context import out
from orchestration.keys import REFRESH_JOB
from orchestration.records.system_state import read_system_state
from orchestration.web.client import WebClient

_LAUNCH = """
mutation launch($job: String!) {
  launchRun(executionParams: {
    selector: {repositoryLocationName: "millrace", repositoryName: "__repository__", jobName: $job}
    runConfigData: {}
  }) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on Error { message }
  }
}
"""
_TIMEOUT_SECONDS = 60.0


def refresh(settings: Settings, *, as_json: bool) -> None:
    """Launch it.

    Args:
        settings: Of the system.
        as_json: Whether a program reads the answer.

    Raises:
        MillraceError: Nothing runs, or the web UI does not launch it.
    """
    state = read_system_state(settings.data_dir) if system_is_running(settings.data_dir) else None
    port = urlsplit(state.ui_url).port if state is not None else None
    if port is None:
        raise MillraceError(
            f"nothing runs on {settings.data_dir} that has a web UI to launch it: 'millrace up' starts it"
        )
    answer = WebClient(settings, port).ask(_LAUNCH, {"job": REFRESH_JOB}, timeout_s=_TIMEOUT_SECONDS)
    try:
        launched = (answer or {})["launchRun"]
        run_id = str(launched["run"]["runId"]) if launched["__typename"] == "LaunchRunSuccess" else ""
        why = str(launched.get("message", launched["__typename"]))
    except (KeyError, TypeError):
        run_id, why = "", "it does not answer"
    if not run_id:
        raise MillraceError(f"the web UI did not launch the job '{REFRESH_JOB}': {why.splitlines()[0]}")
    if as_json:
        json.dump({"run_id": run_id, "job": REFRESH_JOB}, sys.stdout)
        sys.stdout.write("\n")
    else:
        out.print(f"run {run_id[:8]} of '{REFRESH_JOB}' is launched", markup=False)
