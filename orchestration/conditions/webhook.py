"""Posts a JSON object to the webhook; the address may hold a token and is never shown."""

import json
import threading
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

POST_SECONDS = 5.0
"""The bound of a whole post: its name's look-up, its connection and its answer."""


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
    answers: list[str] = []
    # A socket's timeout bounds each operation; a receiver that drips would hold the caller without an end.
    thread = threading.Thread(target=lambda: answers.append(_post(url, alert)), name="post", daemon=True)
    thread.start()
    thread.join(POST_SECONDS)
    return answers[0] if answers else f"there was no whole answer within {POST_SECONDS:g} s"


def _post(url: SecretStr, alert: dict[str, object]) -> str:
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
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=POST_SECONDS):
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
    system = reason.strerror if isinstance(reason, OSError) else ""
    return system or type(reason).__name__
