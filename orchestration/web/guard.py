"""The check of every request to Dagster's web server, before Dagster sees it: an ASGI middleware.

A page of any site may send requests to an address of this machine, under this machine's name or under its own
(after that was pointed here: DNS rebinding). Who may ask at all: access.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestration.web.access import Access

_LOOKS = frozenset({"GET", "HEAD", "OPTIONS"})
_GRAPHQL = "/graphql"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer in place of Dagster's.

    Attributes:
        status: HTTP status code.
        sentence: Why, and what to do.
    """

    status: int
    sentence: str


class Guard:
    """Lets a request through, or answers it with why not.

    Args:
        app: Dagster's application.
        access: Who may ask.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or one WebSocket."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = next(refusals(scope, self._access), None)
        if refusal is None:
            await self._app(scope, receive, not_in_frames(send))
            return
        asks = (
            {"WWW-Authenticate": 'Basic realm="Millrace", charset="UTF-8"'} if refusal.status == 401 else {}
        )
        await PlainTextResponse(f"{refusal.sentence}\n", refusal.status, asks)(scope, receive, send)


def refusals(scope: Scope, access: Access) -> Iterator[Refusal]:
    """Why a request may not pass, the first reason first.

    Args:
        scope: Of an HTTP request or a WebSocket.
        access: Who may ask.
    """
    headers = Headers(scope=scope)
    host = _only(headers, "host").lower()
    if not access.is_ours(_name(host)):
        yield Refusal(
            403,
            "This host name is not one of the web UI's: open it as localhost, or add the name to "
            "MILLRACE_UI_ALLOWED_HOSTS.",
        )
    if "origin" in headers:
        origin = urlsplit(_only(headers, "origin"))
        if origin.scheme not in access.schemes or origin.netloc.lower() != host:
            yield Refusal(
                403,
                "A page of another site sent this: only the web UI's own may, and programs without Origin.",
            )
    if not access.admits(_only(headers, "authorization") if "authorization" in headers else ""):
        yield Refusal(
            401, "The password is missing or wrong: any user, and the value of MILLRACE_UI_PASSWORD."
        )
    if scope["type"] == "websocket":
        return
    if scope["method"] in _LOOKS:
        # Dagster executes what the address of a GET says, mutations too; any page can have an image there.
        if scope["path"] == _GRAPHQL and "text/html" not in headers.get("accept", ""):
            yield Refusal(405, "Send GraphQL as POST with the content type application/json.")
    elif _only(headers, "content-type").partition(";")[0].strip().lower() != "application/json":
        # Everything else a page of another site may send without having asked.
        yield Refusal(415, "What changes something needs the content type application/json.")


def _only(headers: Headers, name: str) -> str:
    """The value of a header that must be there once; empty for none and for several."""
    values = headers.getlist(name)
    return values[0].strip() if len(values) == 1 else ""


def _name(host: str) -> str:
    """The name or address in a Host header; empty where it is malformed."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def not_in_frames(send: Send) -> Send:
    """Answers that no page of another site can show in a frame, where clicks could be stolen."""

    async def marked(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)["X-Frame-Options"] = "SAMEORIGIN"
        await send(message)

    return marked
