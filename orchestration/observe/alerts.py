"""Posts alerts to the webhook, one after the other, on a thread of its own; what cannot be delivered is kept.

An alert is a JSON object: `event` (condition_opened, condition_closed), the condition, `open` (how many are
open now), and `text`, a sentence that chat programs show.
"""

import json
import logging
import threading
import urllib.error
import urllib.request
from datetime import UTC, datetime
from urllib.parse import urlsplit

from pydantic import SecretStr

from ingestion.errors import StorageError
from orchestration.conditions.condition import Finding
from orchestration.observe.watchman import Alert, Watchman

_TIMEOUT_SECONDS = 5.0
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
    """

    def __init__(self, watchman: Watchman, url: SecretStr, *, data_dir: str) -> None:
        self._watchman, self._url, self._data_dir = watchman, url, data_dir
        self._failures = 0
        self._why = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="poster", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; what was not posted is posted by the next system on this folder."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=_TIMEOUT_SECONDS + 1)

    def findings(self) -> list[Finding]:
        """That alerts do not get through, if so."""
        why = self._why
        if not why:
            return []
        return [
            Finding(
                "alert_undelivered", "MILLRACE_ALERT_WEBHOOK_URL",
                f"alerts cannot be posted to the webhook: {why}",
                "They are kept and tried again, every five minutes at the least.",
            )
        ]  # fmt: skip

    def _run(self) -> None:
        while not self._stop.wait(self._pause()):
            try:
                self._turn()
            except StorageError as error:
                _log.warning(str(error))

    def _pause(self) -> float:
        if not self._failures:
            return _LOOK_SECONDS
        return min(_FIRST_PAUSE_SECONDS * 2.0 ** (self._failures - 1), _LONGEST_PAUSE_SECONDS)

    def _turn(self) -> None:
        while not self._stop.is_set() and (alert := self._watchman.due(now=datetime.now(UTC))) is not None:
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


def post(url: SecretStr, alert: dict[str, object]) -> str:
    """Post a JSON object once.

    Args:
        url: Where to.
        alert: What.

    Returns:
        Why it was not taken, without the address's path; empty when it was.
    """
    address = url.get_secret_value()
    try:
        host = urlsplit(address).hostname
        if urlsplit(address).scheme not in ("http", "https") or not host:
            return "it is not an http(s) address"
        request = urllib.request.Request(  # noqa: S310 - the scheme is checked above
            address,
            data=json.dumps(alert).encode(),
            headers={"Content-Type": "application/json"},
            method="POST",
        )
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS):  # noqa: S310
            return ""
    except urllib.error.HTTPError as error:
        return f"{host} answers {error.code}"
    except urllib.error.URLError as error:  # its reason is an OSError, which names no path
        return f"{host} cannot be reached ({_kind(error.reason)})"
    except OSError as error:
        return f"{host} cannot be reached ({_kind(error)})"
    except Exception as error:  # of the address: its text may hold the token
        return f"the address cannot be used ({type(error).__name__})"


def _kind(reason: object) -> str:
    return (
        (reason.strerror or type(reason).__name__) if isinstance(reason, OSError) else type(reason).__name__
    )
