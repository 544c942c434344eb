"""Reads a request's body: no more than it may have, in no more time, and within the server's memory."""

import asyncio
from http import HTTPStatus

from starlette.requests import ClientDisconnect, Request

from ingestion.connectors.http.bodies import too_large
from ingestion.connectors.http.problems import Problem, try_again

READ = "millrace.read"
"""In a request's scope once its body was read to the end: the connection may be used again."""


class Reader:
    """Reads bodies.

    Args:
        limit: Bytes of one body.
        seconds: For one body.
        memory: Bytes of all bodies that are being read or wait to be stored.
    """

    def __init__(self, *, limit: int, seconds: float, memory: int) -> None:
        self._limit, self._seconds = limit, seconds
        self._left = memory

    async def read(self, request: Request) -> bytes:
        """The body; `release` it once it is stored or refused.

        Raises:
            Problem: 413 before anything is read where its length is known, 408 where it is late, 429 where
                too much waits already.
        """
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length) > self._limit:
            raise too_large(self._limit)
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._seconds):
                async for part in request.stream():
                    self._reserve(len(part))
                    parts.append(part)
                    size += len(part)
                    if size > self._limit:
                        raise too_large(self._limit)
        except BaseException as error:
            self._left += size
            if isinstance(error, TimeoutError):
                raise Problem(
                    HTTPStatus.REQUEST_TIMEOUT,
                    f"the body was not here within {self._seconds:g} s; send it again",
                ) from None
            if isinstance(error, ClientDisconnect):
                raise Problem(HTTPStatus.BAD_REQUEST, "the client has left") from None
            raise
        request.scope[READ] = True
        return b"".join(parts)

    def release(self, size: int) -> None:
        """Give back the memory of a body.

        Args:
            size: Its bytes, as they were read.
        """
        self._left += size

    def _reserve(self, size: int) -> None:
        if size > self._left:
            raise try_again(HTTPStatus.TOO_MANY_REQUESTS, "too many requests wait to be stored")
        self._left -= size
