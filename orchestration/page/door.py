"""Who may look at the live page, and as what: the web UI's rules, then a login. An ASGI middleware."""

from dataclasses import replace
from typing import cast

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from orchestration.web.access import Access
from orchestration.web.guard import Refusal, not_in_frames, refusals
from orchestration.web.roles import Roles, Who

_WHO = "millrace.who"
_LOGIN = {"WWW-Authenticate": 'Basic realm="Millrace", charset="UTF-8"'}
_WRONG = Refusal(
    401,
    "The password is missing or wrong: your name, and the password of a viewer or an operator.",
)


class Door:
    """Lets a request through with who sent it, or answers it with why not.

    Args:
        app: The page.
        access: Names and origins.
        roles: The passwords.
    """

    def __init__(self, app: ASGIApp, access: Access, roles: Roles) -> None:
        self._app, self._access, self._roles = app, replace(access, password=""), roles

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal, who = next(refusals(scope, self._access), None), None
        if refusal is None:
            given = Headers(scope=scope).getlist("authorization")
            who = await self._roles.who(given[0] if len(given) == 1 else "")
            refusal = _WRONG if who is None else None
        if refusal is None:
            await self._app({**scope, _WHO: who}, receive, not_in_frames(send))
            return
        login = _LOGIN if refusal.status == 401 else {}
        await PlainTextResponse(f"{refusal.sentence}\n", refusal.status, login)(scope, receive, send)


def who_asks(scope: Scope) -> Who:
    """Who sent a request that came through the door; a viewer where none did."""
    return cast("Who", scope.get(_WHO) or Who("viewer"))
