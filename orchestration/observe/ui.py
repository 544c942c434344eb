"""Shows conditions in Dagster's web UI: the checks of one asset, reported through its REST endpoint.

It needs no Dagster here, and works while the daemon and the code server do not. The asset is declared in
orchestration/checks/conditions.py. The endpoint: https://docs.dagster.io/api/rest-apis/external-assets-rest-api
"""

from collections.abc import Mapping

from orchestration.conditions.kinds import CONDITIONS_ASSET, KINDS, as_metadata
from orchestration.observe.watchman import Watchman
from orchestration.observe.worker import Worker
from orchestration.web.client import WebClient

_LOOK_SECONDS = 2.0
_TIMEOUT_SECONDS = 10.0


class UiReporter:
    """Reports changes, on a thread of its own.

    Args:
        watchman: Knows what is open.
        web: Reaches the web UI.

    Attributes:
        worker: Its thread.
    """

    def __init__(self, watchman: Watchman, web: WebClient) -> None:
        self._watchman, self._web = watchman, web
        self._reported: dict[str, Mapping[str, str]] = {}
        self.worker = Worker(
            "ui-reporter", self._turn, pause_s=lambda: _LOOK_SECONDS, patience_s=_TIMEOUT_SECONDS + 1
        )

    def _turn(self) -> None:
        wanted: dict[str, dict[str, str]] = {name: {} for name in KINDS}
        for condition in self._watchman.open():
            wanted[condition.finding.name][condition.finding.subject] = condition.text
        for name, sentences in wanted.items():
            if self._reported.get(name) != sentences and not self.worker.stopping:
                if not self._report(name, sentences):
                    return  # it is away: the next look tries again
                self._reported[name] = sentences

    def _report(self, name: str, sentences: Mapping[str, str]) -> bool:
        body = {
            "check_name": name,
            "passed": not sentences,
            "severity": "ERROR",
            "metadata": as_metadata(name, sentences),
        }
        return self._web.post(f"/report_asset_check/{CONDITIONS_ASSET}", body, timeout_s=_TIMEOUT_SECONDS)
