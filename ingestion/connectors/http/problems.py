"""What a request is refused with: a status and one sentence, as RFC 9457 has it."""

from collections.abc import Mapping
from http import HTTPStatus

import orjson

PROBLEM = "application/problem+json"
RETRY_SECONDS = 1
"""After so long a sender may try again what was not stored."""


class Problem(Exception):
    """A refused request.

    Args:
        status: Of the answer.
        detail: One sentence with the remedy.
        headers: Of the answer, too.
    """

    def __init__(self, status: HTTPStatus, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, dict(headers or {})

    @property
    def body(self) -> bytes:
        """As the answer holds it."""
        content = {"type": "about:blank", "title": self.status.phrase, "status": int(self.status)}
        return orjson.dumps(content | {"detail": self.detail})


def try_again(status: HTTPStatus, why: str) -> Problem:
    """What was not stored for no fault of its sender's, who should send it again."""
    headers = {"retry-after": f"{RETRY_SECONDS}"}
    if status is HTTPStatus.TOO_MANY_REQUESTS:
        headers |= limits("storage", limit=0, left=0, seconds=RETRY_SECONDS)
    return Problem(status, f"{why}; nothing of this request is stored, send it again", headers)


def limits(name: str, *, limit: int, left: int, seconds: int) -> dict[str, str]:
    """The headers that say how much is left: the IETF's draft's, and those that many clients know.

    Args:
        name: What is limited.
        limit: Requests that are taken.
        left: How many of them still are.
        seconds: After so long there are more.
    """
    return {
        "ratelimit": f'"{name}";r={left};t={seconds}',
        "x-ratelimit-limit": f"{limit}",
        "x-ratelimit-remaining": f"{left}",
        "x-ratelimit-reset": f"{seconds}",
    }
