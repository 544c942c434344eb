"""`GET /v1/marts/{name}`: the way out. Which rows there are, and their notation, is the reader's part.

Few reads go on at a time, each in a thread beside the loop, so that who sends does not wait for who reads.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from ingestion.connectors.http.access import HttpAccess
from ingestion.connectors.http.doors import Keepers
from ingestion.connectors.http.problems import RETRY_SECONDS, Problem
from ingestion.connectors.marts import Head, MartAnswer, MartReader, MartRefused, Notation, Reason, Wanted

MEDIA_TYPES: Mapping[Notation, str] = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "arrow": "application/vnd.apache.arrow.stream",
}
PARAMETERS = frozenset({"since", "limit", "page", "format"})
MOST_ROWS = 1_000_000
_SEND_SECONDS = 30.0
_STATUSES: Mapping[Reason, HTTPStatus] = {
    "unknown": HTTPStatus.NOT_FOUND,
    "wrong": HTTPStatus.BAD_REQUEST,
    "expired": HTTPStatus.GONE,
    "away": HTTPStatus.SERVICE_UNAVAILABLE,
}


class Marts:
    """Answers questions about marts.

    Args:
        reader: Reads them.
        access: How many reads go on at a time, and how long one may take.
        keepers: Decide who may read.
    """

    def __init__(self, reader: MartReader, access: HttpAccess, keepers: Keepers) -> None:
        self._reader, self._access, self._keepers = reader, access, keepers
        self._under_way = 0
        self._threads = ThreadPoolExecutor(max(1, access.mart_reads), thread_name_prefix="marts")

    def names(self) -> Sequence[str]:
        """The marts that are served."""
        return self._reader.names() if self._access.mart_reads else ()

    async def answer(self, request: Request) -> Response:
        """Answer a question.

        Raises:
            Problem: 400, 401, 404, 406, 410 or 503, and why.
        """
        mart = str(request.path_params["mart"])
        self._keepers.admit_reader(mart, request.headers)
        wanted = _wanted(mart, request)
        if self._under_way >= self._access.mart_reads:
            raise _later(f"{self._access.mart_reads} reads of marts go on already; ask again")
        self._under_way += 1
        try:
            found = await self._beside(self._reader.open, wanted)
        except BaseException as error:
            self._under_way -= 1
            if isinstance(error, MartRefused):
                raise _problem(error) from None
            raise
        read = _Read(found, self._beside, self._ended)
        headers = _headers(found.head, wanted)
        if request.method == "HEAD":
            await read.end()
            return Response(headers=headers)
        return _Streamed(read, headers, self._access.mart_seconds)

    def close(self) -> None:
        """End the threads, once nothing is asked any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _ended(self) -> None:
        self._under_way -= 1

    async def _beside(self, work: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)


class _Read:
    """A read that is under way.

    Args:
        answer: What is read.
        beside: Runs a function beside the loop.
        ended: Called once it has ended.
    """

    def __init__(
        self, answer: MartAnswer, beside: Callable[..., Awaitable[Any]], ended: Callable[[], None]
    ) -> None:
        self._answer, self._beside, self._ended = answer, beside, ended
        self._ending: asyncio.Task[None] | None = None

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body. It has ended before its client sees that it is whole, so that the next read may begin."""
        while piece := await self._beside(self._answer.next):
            yield piece
        await self.end()

    async def end(self) -> None:
        """Give back what it holds; also where whoever waits for that is cancelled."""
        if self._ending is None:
            self._answer.interrupt()
            self._ending = asyncio.get_running_loop().create_task(self._close())
        await asyncio.shield(self._ending)

    async def _close(self) -> None:
        try:
            await self._beside(self._answer.close)
        finally:
            self._ended()


class _Streamed(StreamingResponse):
    """A body that ends with its client, or in time: one that is cut off has no end, as HTTP marks it."""

    def __init__(self, read: _Read, headers: Mapping[str, str], seconds: float) -> None:
        super().__init__(read.pieces(), headers=dict(headers))
        self._read, self._seconds = read, seconds

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def in_time(message: Any) -> None:
            async with asyncio.timeout(_SEND_SECONDS):
                await send(message)

        try:
            async with asyncio.timeout(self._seconds):
                await super().__call__(scope, receive, in_time)
        finally:
            await self._read.end()


def _wanted(mart: str, request: Request) -> Wanted:
    asked = request.query_params
    strange = sorted({*asked} - PARAMETERS)
    if strange or len(asked.multi_items()) != len(asked):
        wrong = f"'{strange[0][:100]}' is not a parameter" if strange else "a parameter is given twice"
        raise Problem(HTTPStatus.BAD_REQUEST, f"{wrong}; there are since, limit, page and format")
    page = asked.get("page", "")
    if "page" in asked and not page:
        raise Problem(HTTPStatus.BAD_REQUEST, "'page' is empty; leave it out for the first page")
    since = _number(asked.get("since"), "since", least=0, most=2**62)
    limit = _number(asked.get("limit"), "limit", least=1, most=MOST_ROWS)
    return Wanted(mart, _notation(asked.get("format"), request.headers.get("accept", "")), since, limit, page)


def _number(text: str | None, name: str, *, least: int, most: int) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 20 or not least <= int(text) <= most:
        raise Problem(HTTPStatus.BAD_REQUEST, f"'{name}' is a whole number from {least} to {most}")
    return int(text)


def _notation(named: str | None, accept: str) -> Notation:
    """What `format` says, or the kind of `Accept` that is wanted most."""
    for notation in MEDIA_TYPES:
        if named == notation:
            return notation
    if named is not None:
        raise Problem(HTTPStatus.BAD_REQUEST, f"'format' is one of {', '.join(MEDIA_TYPES)}")
    ranges = [_range(each) for each in accept.split(",") if each.strip()] or [("*/*", 1.0)]
    best = max(MEDIA_TYPES, key=lambda notation: _quality(MEDIA_TYPES[notation], ranges))
    if _quality(MEDIA_TYPES[best], ranges) <= 0:
        kinds = ", ".join(kind.partition(";")[0] for kind in MEDIA_TYPES.values())
        raise Problem(HTTPStatus.NOT_ACCEPTABLE, f"a mart is given as {kinds}; or name one in 'format'")
    return best


def _range(text: str) -> tuple[str, float]:
    kind, *parameters = (part.strip().lower() for part in text.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return kind, float(value)
            except ValueError:
                return kind, 0.0
    return kind, 1.0


def _quality(media_type: str, ranges: list[tuple[str, float]]) -> float:
    """How much a kind is wanted; the narrowest range counts."""
    kind = media_type.partition(";")[0]
    given = dict(ranges)
    for each in (kind, f"{kind.partition('/')[0]}/*", "*/*"):
        if each in given:
            return given[each]
    return 0.0


def _headers(head: Head, wanted: Wanted) -> dict[str, str]:
    headers = {
        "content-type": MEDIA_TYPES[wanted.notation],
        "cache-control": "no-store",
        "vary": "Accept",
        "millrace-snapshot": str(head.snapshot),
        "millrace-whole": "true" if head.whole else "false",
    }
    for name, moments in (("fresh", head.fresh_to), ("complete", head.complete_to)):
        if head.streams and moments.keys() >= set(head.streams):
            headers[f"millrace-{name}-to"] = _text(min(moments.values()))
    if head.next_page:
        query = {"page": head.next_page, "format": wanted.notation}
        if wanted.limit is not None:
            query["limit"] = str(wanted.limit)
        headers["link"] = f'</v1/marts/{quote(wanted.mart, safe="")}?{urlencode(query)}>; rel="next"'
    return headers


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _problem(refused: MartRefused) -> Problem:
    if refused.reason == "away":
        return _later(str(refused))
    return Problem(_STATUSES[refused.reason], str(refused))


def _later(why: str) -> Problem:
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, why, {"retry-after": f"{RETRY_SECONDS}"})
