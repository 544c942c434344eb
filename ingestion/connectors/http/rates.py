"""How many requests an address takes, and the headers that say so.

The fields `RateLimit` and `RateLimit-Policy` are those of the IETF's draft-ietf-httpapi-ratelimit-headers-10,
the three of `X-RateLimit-` are what many clients know; their reset is in seconds from now.
"""

import math
from collections.abc import Mapping
from http import HTTPStatus

from ingestion.connectors.http.problems import Problem, limits

_WINDOW_SECONDS = 60


class Rate:
    """The requests of one address: so many in each minute, which begins with its first request.

    Args:
        name: The end of the address.
        quota: Requests in a minute.
    """

    def __init__(self, name: str, quota: int) -> None:
        self._name, self._quota = name, quota
        self._used, self._ends = 0, -math.inf

    def take(self, now: float) -> Mapping[str, str]:
        """Count a request; returns headers of its answer.

        Args:
            now: Seconds of a clock that is never set.

        Raises:
            Problem: 429 for one too many.
        """
        if now >= self._ends:
            self._used, self._ends = 0, now + _WINDOW_SECONDS
        admitted = self._used < self._quota
        self._used += admitted
        seconds = max(1, math.ceil(self._ends - now))
        headers = {
            "ratelimit-policy": f'"{self._name}";q={self._quota};w={_WINDOW_SECONDS}',
            **limits(self._name, limit=self._quota, left=self._quota - self._used, seconds=seconds),
        }
        if not admitted:
            raise Problem(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"this address takes {self._quota} requests a minute; send the next in {seconds} s, or more "
                "events in one request",
                {"retry-after": f"{seconds}", **headers},
            )
        return headers
