"""Posts JSON to a webhook; the address may hold a token and is never shown."""

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

POST_SECONDS = 5.0
"""The bound of a whole post: its name's look-up, its connection and its answer."""


@dataclass(frozen=True)
class Answer:
    """What came of a try to deliver something.

    Attributes:
        why: Why it was not taken, without a secret; empty when it was.
        said: What the receiver answered, in a word or two.
        is_about_this: Whether the receiver works and refuses just this: others may be taken.
        retry_after_s: How long the receiver asks to be left alone, in seconds.
    """

    why: str = ""
    said: str = ""
    is_about_this: bool = False
    retry_after_s: float = 0.0


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST becomes a GET without the alert, whose answer would count as its delivery."""

    def redirect_request(self, *_: Any) -> None:
        return None


def post(url: SecretStr, alert: dict[str, object]) -> str:
    """Post a JSON object once.

    Args:
        url: Where to: http or https.
        alert: What.

    Returns:
        Why it was not taken, without the address's path; empty when it was.
    """
    body = json.dumps(alert).encode()
    return bounded(lambda: post_bytes(url, body, {}, seconds=POST_SECONDS), seconds=POST_SECONDS).why


def bounded(send: Callable[[], Answer], *, seconds: float) -> Answer:
    """Do something that answers, for so long at most; what hangs is left to itself.

    A socket's timeout bounds each operation: a receiver that drips would hold the caller without an end.
    """
    answers: list[Answer] = []
    thread = threading.Thread(target=lambda: answers.append(send()), name="post", daemon=True)
    thread.start()
    thread.join(seconds)
    return answers[0] if answers else Answer(f"there was no whole answer within {seconds:g} s")


def post_bytes(url: SecretStr, body: bytes, headers: Mapping[str, str], *, seconds: float) -> Answer:
    """Post once.

    Args:
        url: Where to: http or https.
        body: JSON, where no header says what else.
        headers: Further ones.
        seconds: The longest that an operation of the socket takes; `bounded` bounds the whole.
    """
    address = url.get_secret_value()
    try:
        host = urlsplit(address).hostname
        if urlsplit(address).scheme not in ("http", "https") or not host:
            return Answer("it is not an http(s) address")
        request = urllib.request.Request(  # noqa: S310 - the scheme is checked above
            address, data=body, headers={"Content-Type": "application/json", **headers}, method="POST"
        )
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=seconds) as answer:
            return Answer(said=str(answer.status))
    except urllib.error.HTTPError as error:
        about_this = 400 <= error.code < 500 and error.code not in (401, 403, 404, 408, 410, 429)
        pause = _seconds(error.headers.get("Retry-After"))
        return Answer(f"{host} answers {error.code}", str(error.code), about_this, pause)
    except urllib.error.URLError as error:  # its reason is an OSError, which names no path
        return Answer(f"{host} cannot be reached ({_kind(error.reason)})")
    except OSError as error:
        return Answer(f"{host} cannot be reached ({_kind(error)})")
    except Exception as error:  # of the address: its text may hold the token
        return Answer(f"the address cannot be used ({type(error).__name__})")


def _seconds(retry_after: str | None) -> float:
    """Retry-After, as seconds or as a date (RFC 9110, 10.2.3); 0 for none, or for what is neither."""
    if retry_after is None:
        return 0.0
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        until = parsedate_to_datetime(retry_after)
        return max(0.0, (until - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return 0.0


def _kind(reason: object) -> str:
    system = reason.strerror if isinstance(reason, OSError) else ""
    return system or type(reason).__name__
