"""What the server answers: events that are POSTed, whether it is well, and what is sent to a door.

Storing them is the listener's part; who may send is not decided here.
"""

import asyncio
import hmac
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from ingestion.connectors.http.access import HttpAccess, is_loopback
from ingestion.connectors.http.bodies import Body
from ingestion.connectors.http.delivery import Delivery, Stored
from ingestion.connectors.http.doors import Door, Keepers, bearer
from ingestion.connectors.http.keys import DIGEST, KEY
from ingestion.connectors.http.marts import Marts
from ingestion.connectors.http.openapi import openapi
from ingestion.connectors.http.problems import PROBLEM, RETRY_SECONDS, Problem, try_again
from ingestion.connectors.http.rates import Rate
from ingestion.connectors.http.reading import READ, Reader
from ingestion.connectors.http.receipts import digest_of, read_receipt, receipt_of, where
from ingestion.connectors.http.taps import Taps
from ingestion.connectors.intake import Whereabouts
from ingestion.connectors.marts import MartReader
from ingestion.errors import MillraceError
from ingestion.spool.guarded import Held
from ingestion.spool.lanes import Place

_MEMORY_BYTES = 64 * 2**20
_KEY_CHARACTERS = 255
_LARGE_BYTES = 64 * 1024
"""From here on a body is taken apart beside the loop, which goes on answering others."""


class HttpApp:
    """The application, for one server.

    Args:
        doors: By name.
        access: Limits of a request, and what it may be called.
        keepers: Decide who may send.
        whereabouts: Finds stored events.
        deliver: Hands a request over to whoever stores it.
        held: Why a door's streams are not stored at the moment, as was seen last.
        answer_seconds: How long a request may wait to be stored.
        marts: Reads marts; None: there are none here.

    Attributes:
        asgi: What a server serves.
        answered: Status → how many requests got it.
    """

    def __init__(
        self,
        doors: Mapping[str, Door],
        access: HttpAccess,
        *,
        keepers: Keepers,
        whereabouts: Callable[[Place, int], Whereabouts | None],
        deliver: Callable[[Delivery], None],
        held: Callable[[str], Held | None],
        answer_seconds: float,
        marts: MartReader | None = None,
    ) -> None:
        self._doors, self._access, self._keepers = doors, access, keepers
        self._whereabouts = whereabouts
        self._deliver, self._held, self._answer_seconds = deliver, held, answer_seconds
        self._taps = Taps()
        self._rates = {name: Rate(name, door.quota) for name, door in doors.items() if door.quota}
        self._marts = Marts(marts, access, keepers) if marts is not None else None
        self._reader = Reader(
            limit=access.body_max_bytes, seconds=access.request_seconds, memory=_MEMORY_BYTES
        )
        self.answered: dict[int, int] = {}
        self.asgi = Starlette(
            routes=[
                Route("/healthz", self._health, methods=["GET"]),
                Route("/openapi.json", self._describe, methods=["GET"]),
                Route("/v1/receipts/{receipt}", self._where, methods=["GET"]),
                Route("/v1/marts/{mart}", self._read, methods=["GET"]),
                Route("/v1/{door}", self._at_door, methods=["POST", "OPTIONS"]),
                Route("/v1/{door}/next", self._watch, methods=["GET"]),
            ],
            exception_handlers={
                Problem: self._refuse,
                HTTPException: self._refuse_route,
                Exception: self._fail,
            },
        )

    def close(self) -> None:
        """End what runs beside the loop, once nothing is asked any more."""
        if self._marts is not None:
            self._marts.close()

    async def _health(self, request: Request) -> Response:
        """Whether everything that is sent is stored at the moment."""
        held = sum(1 for name in self._doors if self._held(name))
        status = HTTPStatus.SERVICE_UNAVAILABLE if held else HTTPStatus.OK
        return self._json(
            status, {"status": "held" if held else "ok", "doors": len(self._doors), "held": held}
        )

    async def _describe(self, request: Request) -> Response:
        """The OpenAPI text."""
        self._require_reachable(request)
        if self._access.is_exposed:
            self._require_reader(request)
        marts = self._marts.names() if self._marts is not None else ()
        return self._json(HTTPStatus.OK, openapi(self._doors.values(), self._access, marts=marts))

    async def _at_door(self, request: Request) -> Response:
        """Take events, or say which methods a door takes: no page of another site may send here."""
        self._require_reachable(request)
        if request.method == "OPTIONS":
            self._find(request)
            return Response(status_code=HTTPStatus.NO_CONTENT, headers={"allow": "OPTIONS, POST"})
        limits: dict[str, str] = {}
        try:
            response = await self._take(request, limits)
        except Problem as problem:
            problem.headers = {**limits, **problem.headers}
            raise
        response.headers.update(limits)
        return response

    async def _take(self, request: Request, limits: dict[str, str]) -> Response:
        """Take the events of a request, and note the headers that say how many more are taken."""
        name = str(request.path_params["door"])
        door = self._doors.get(name)
        if door is not None:
            self._keepers.admit(door, request.headers)
            if door.signature is None:
                self._count_in(door, limits)
        elif not self._taps.has(name):
            self._find(request)
        body = Body.of(request.headers.get("content-type", ""), request.headers.get("content-encoding", ""))
        if (held := self._held(name)) and held.is_full:
            raise refused(held)
        raw = await self._reader.read(request)
        try:
            if door is not None and door.signature is not None:
                self._keepers.check(door, request.headers, raw)
                self._count_in(door, limits)
            events, digest = await self._open(body, raw)
            key = _key(request)
            headers = _headers(request, door.headers if door else (), key=key, digest=digest)
            if door is None:
                self._taps.show(name, events, headers, "refused: no stream reads this address")
                self._find(request)
            future = asyncio.get_running_loop().create_future()
            received_us = time.time_ns() // 1_000
            delivery = Delivery(name, events, headers, received_us, future, digest=digest, key=key)
            stored = await self._store(delivery)
        finally:
            self._reader.release(len(raw))
        if delivery.is_repeated:
            repeated = {"idempotent-replayed": "true"}
            return self._json(HTTPStatus.ACCEPTED, receipt_of(stored, digest), repeated)
        self._taps.show(name, events, headers, "")
        return self._json(HTTPStatus.ACCEPTED, receipt_of(stored, digest))

    def _count_in(self, door: Door, limits: dict[str, str]) -> None:
        """Count a request of somebody who may send, so that nobody else uses up what they may."""
        if door.name in self._rates:
            limits.update(self._rates[door.name].take(time.monotonic()))

    async def _open(self, body: Body, raw: bytes) -> tuple[list[bytes], str]:
        def open_body() -> tuple[list[bytes], str]:
            unpacked = body.unpack(raw, limit=self._access.body_max_bytes)
            return body.events(unpacked, most=self._access.request_max_events), digest_of(unpacked)

        if body.encoding or len(raw) > _LARGE_BYTES:
            return await asyncio.to_thread(open_body)
        return open_body()

    async def _store(self, delivery: Delivery) -> list[Stored]:
        """Wait until the events are durable.

        Raises:
            Problem: 422 where a key was used for another body; 429 while a spool is full, 503 while it cannot
                be written.
        """
        self._deliver(delivery)
        try:
            found = await asyncio.wait_for(delivery.outcome, self._answer_seconds)
        except TimeoutError:
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "the events were not stored in time, and may still be; send them again",
                {"retry-after": f"{RETRY_SECONDS}"},
            ) from None
        if isinstance(found, Held):
            raise refused(found)
        if isinstance(found, Problem):
            raise found
        return found

    async def _watch(self, request: Request) -> Response:
        """What is sent to a door from now on, for `millrace peek`."""
        self._require_reachable(request)
        name = str(request.path_params["door"])
        door = self._doors.get(name)
        if self._access.is_exposed or (door is not None and not door.is_open):
            self._require_reader(request)
        lines = self._taps.watch(name)
        return StreamingResponse(lines, media_type="application/x-ndjson")

    async def _read(self, request: Request) -> Response:
        """A mart's rows."""
        self._require_reachable(request)
        if self._marts is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        response = await self._marts.answer(request)
        self._count(HTTPStatus.OK)
        return response

    async def _where(self, request: Request) -> Response:
        """Where a receipt's events are by now."""
        self._require_reachable(request)
        text = str(request.path_params["receipt"])
        places = read_receipt(text)
        streams = {stream: door for door in self._doors.values() for stream in door.streams}
        if not places or any(place.spool not in streams for place, _ in places):
            raise Problem(HTTPStatus.NOT_FOUND, "there is no such receipt; 202 gives one for each request")
        for place, _ in places:
            if self._access.is_exposed or not streams[place.spool].is_open:
                self._require_sender_or_reader(request, streams[place.spool])
        try:
            found = [
                where(place, count, await asyncio.to_thread(self._whereabouts, place, count))
                for place, count in places
            ]
        except MillraceError:
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "the lake does not answer; the events are stored all the same",
                {"retry-after": f"{RETRY_SECONDS}"},
            ) from None
        return self._json(HTTPStatus.OK, {"receipt": text, "streams": found})

    def _require_sender_or_reader(self, request: Request, door: Door) -> None:
        if door.wants_token:
            with suppress(Problem):
                return self._keepers.admit(door, request.headers)
        self._require_reader(request)

    def _find(self, request: Request) -> Door:
        name = str(request.path_params["door"])
        if name not in self._doors:
            raise Problem(
                HTTPStatus.NOT_FOUND,
                f"no stream reads what is sent to /v1/{name[:100]}; declare one with source: {{http: …}}",
            )
        return self._doors[name]

    def _require_reader(self, request: Request) -> None:
        wanted = self._access.read_token.get_secret_value().encode()
        given = bearer(request.headers).encode()
        if not wanted or not hmac.compare_digest(given, wanted):
            raise Problem(
                HTTPStatus.UNAUTHORIZED,
                "who reads here shows the token of MILLRACE_HTTP_READ_TOKEN: Authorization: Bearer …",
                {"www-authenticate": "Bearer"},
            )

    def _require_reachable(self, request: Request) -> None:
        """Only the proxy, if there is one; and of a page no name that was pointed at this machine.

        That is DNS rebinding. Where others may reach the server, everybody who sends shows who he is.
        """
        client = request.client.host if request.client else ""
        if self._access.proxies and client not in self._access.proxies and not is_loopback(client):
            raise Problem(HTTPStatus.FORBIDDEN, "this address is reached through its proxy only")
        if self._access.is_exposed:
            return
        host = request.headers.get("host", "")
        name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
        if not is_loopback(name):
            raise Problem(
                HTTPStatus.MISDIRECTED_REQUEST,
                "this address is for programs of this machine, which call it 127.0.0.1 or localhost",
            )

    async def _refuse(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)  # noqa: S101  # Starlette looks it up by its type
        headers = {**error.headers, "content-type": PROBLEM}
        if request.method in ("POST", "PUT", "PATCH") and not request.scope.get(READ):
            headers["connection"] = "close"  # what was not read is not waited for
        self._count(error.status)
        return Response(error.body, error.status, headers)

    async def _refuse_route(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101
        status = HTTPStatus(error.status_code)
        detail = {
            HTTPStatus.NOT_FOUND: "there is nothing at this address; events are POSTed to /v1/NAME",
            HTTPStatus.METHOD_NOT_ALLOWED: f"{request.method} is not a method of this address",
        }.get(status, status.phrase)
        return await self._refuse(request, Problem(status, detail, error.headers))

    async def _fail(self, request: Request, error: Exception) -> Response:
        return await self._refuse(
            request,
            Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "the request failed; the collector's log says why"),
        )

    def _json(
        self, status: HTTPStatus, content: dict[str, Any], headers: dict[str, str] | None = None
    ) -> Response:
        self._count(status)
        return Response(orjson.dumps(content), status, headers, media_type="application/json")

    def _count(self, status: HTTPStatus) -> None:
        self.answered[status] = self.answered.get(status, 0) + 1


def refused(held: Held) -> Problem:
    """Why a request is not stored; the sentence with names and sizes is for the collector's status alone."""
    if held.is_full:
        return try_again(HTTPStatus.TOO_MANY_REQUESTS, "the stream's spool is full")
    return try_again(HTTPStatus.SERVICE_UNAVAILABLE, "nothing can be stored at the moment")


def _key(request: Request) -> str:
    given = request.headers.get("idempotency-key")
    key = (given or "").strip(' "')
    is_empty = given is not None and not key
    if is_empty or not key.isprintable() or not key.isascii() or len(key) > _KEY_CHARACTERS:
        raise Problem(
            HTTPStatus.BAD_REQUEST, f"an Idempotency-Key has 1 to {_KEY_CHARACTERS} plain characters"
        )
    return key


def _headers(request: Request, names: tuple[str, ...], *, key: str, digest: str) -> str:
    kept = {"content_type": request.headers.get("content-type", "")}
    if key:
        kept |= {KEY: key, DIGEST: digest}
    kept |= {name: request.headers[name] for name in names if name in request.headers}
    return orjson.dumps(kept).decode()
