"""Posts alerts to the webhook, one after the other, on a thread of its own; what cannot be delivered is kept.

An alert is a JSON object: `event` (condition_opened, condition_closed), the condition, `open` (how many are
open now), and `text`, a sentence that chat programs show.
"""

import logging
from datetime import UTC, datetime

from pydantic import SecretStr

from ingestion.errors import StorageError
from orchestration.conditions.condition import Finding
from orchestration.conditions.webhook import POST_SECONDS, post
from orchestration.observe.watchman import Alert, Watchman
from orchestration.observe.worker import Worker

_PATIENCE_SECONDS = POST_SECONDS + 1.0
_LOOK_SECONDS = 1.0
_FIRST_PAUSE_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 300.0
_log = logging.getLogger(__name__)


class Poster:
    """Posts what the watchman has due.

    Args:
        watchman: Knows what is due.
        url: http or https; never shown, because it may hold a token.
        data_dir: Named in every alert, for several systems may share a webhook.

    Attributes:
        worker: Its thread.
    """

    def __init__(self, watchman: Watchman, url: SecretStr, *, data_dir: str) -> None:
        self._watchman, self._url, self._data_dir = watchman, url, data_dir
        self._failures = 0
        self._why = ""
        # What is not posted when it stops is posted by the next system on this folder.
        self.worker = Worker("poster", self._turn, pause_s=self._pause, patience_s=_PATIENCE_SECONDS)

    def findings(self) -> list[Finding]:
        """That alerts do not get through, if so."""
        why = self._why
        if not why:
            return []
        given_up = self._watchman.given_up
        return [
            Finding(
                "alert_undelivered", "MILLRACE_ALERT_WEBHOOK_URL",
                f"alerts cannot be posted to the webhook: {why}",
                "They are kept and tried again, every five minutes at the least."
                + f" There were too many: the {given_up:,} oldest were given up." * bool(given_up),
            )
        ]  # fmt: skip

    def _pause(self) -> float:
        if not self._failures:
            return _LOOK_SECONDS
        return min(_FIRST_PAUSE_SECONDS * 2.0 ** (self._failures - 1), _LONGEST_PAUSE_SECONDS)

    def _turn(self) -> None:
        try:
            self._post_what_is_due()
        except StorageError as error:
            _log.warning(str(error))

    def _post_what_is_due(self) -> None:
        while not self.worker.stopping and (alert := self._watchman.due(now=datetime.now(UTC))) is not None:
            why = post(self._url, content(alert, data_dir=self._data_dir))
            if why:
                self._failures, self._why = self._failures + 1, why
                return
            self._failures, self._why = 0, ""
            self._watchman.posted(alert)


def content(alert: Alert, *, data_dir: str) -> dict[str, object]:
    """What is posted.

    Args:
        alert: The alert.
        data_dir: The data folder of the system.
    """
    condition = alert.condition
    if alert.opening:
        text = f"Millrace: {condition.text}"
    elif alert.open_count:
        text = f"Millrace: over: {condition.finding.sentence} ({alert.open_count} other(s) open)"
    else:
        text = f"Millrace: over: {condition.finding.sentence} All is well again."
    return {
        "event": "condition_opened" if alert.opening else "condition_closed",
        "text": text,
        "open": alert.open_count,
        "system": data_dir,
        **condition.as_json(),
    }
