"""The web application of the live page. Who may ask at all: orchestration/web."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from ingestion.settings import Settings
from orchestration.dbt.docs import POLICY, docs_of_state
from orchestration.dbt.manifest import known_state
from orchestration.dbt.project import dbt_project
from orchestration.flow.svg import STYLE
from orchestration.page.acting import Acting
from orchestration.page.asking import Asking
from orchestration.page.door import who_asks
from orchestration.page.hub import Hub, Key
from orchestration.page.pages import PAGES
from orchestration.page.reader import Reader
from orchestration.page.shell import shell
from orchestration.page.views.sql import sql_form
from orchestration.records.system_state import read_system_state

_ASSETS = Path(__file__).parent / "assets"
_KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_FRESH = {"Cache-Control": "no-store", **_HEADERS}
_KEPT = {"Cache-Control": "private, max-age=31536000, immutable", **_HEADERS}


class PageApp:
    """Pages, their live events, and their files.

    Args:
        settings: Of the system.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._reader: Reader | None = None
        self._asking = Asking(settings)
        self._acting = Acting(settings)
        self._docs_of: tuple[str, str | None] = ("", None)
        self.hub = Hub(lambda: self._reader.wake() if self._reader is not None else None)
        self._stamp = f"{version('millrace-lakehouse')}-{max(_changed(each) for each in _ASSETS.iterdir())}"

    def application(self) -> Starlette:
        """For a server."""
        routes = [Route(page.path, partial(self._page, name)) for name, page in PAGES.items()]
        return Starlette(
            routes=[
                *routes,
                Route("/live", self._live),
                Route("/ask", self._ask, methods=["POST"]),
                Route("/act", self._act, methods=["POST"]),
                Route("/health", lambda request: PlainTextResponse("ok\n", headers=_FRESH)),
                Route("/docs", self._docs),
                Route("/assets/flow.css", self._flow_style),
                Route("/assets/{name}", self._asset),
            ],
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        self.hub.begin()
        self._reader = Reader(self._settings, self.hub)
        self._reader.start()
        try:
            yield
        finally:
            self.hub.close()
            await asyncio.to_thread(self._reader.stop)
            self._asking.close()

    async def _page(self, view: str, request: Request) -> Response:
        key = Key(view, request.path_params.get("of", ""))
        state = read_system_state(self._settings.data_dir)
        extra = sql_form() if view == "sql" else None
        text = shell(
            key,
            ui_url=state.ui_url if state else "",
            stamp=self._stamp,
            who=who_asks(request.scope),
            extra=extra,
        )
        return HTMLResponse(text, headers=_FRESH)

    async def _live(self, request: Request) -> Response:
        operates = who_asks(request.scope).operates
        key = Key(request.query_params.get("view", ""), request.query_params.get("of", ""), operates)
        if key.view not in PAGES:
            raise HTTPException(404, "There is no such page.")
        headers = {**_FRESH, "X-Accel-Buffering": "no"}
        return StreamingResponse(self.hub.follow(key), media_type="text/event-stream", headers=headers)

    async def _ask(self, request: Request) -> Response:
        status, html = await self._asking.answer(await _content(request))
        return HTMLResponse(html, status, headers=_FRESH)

    async def _act(self, request: Request) -> Response:
        content, who = await _content(request), who_asks(request.scope)
        address = request.client.host if request.client is not None else ""
        status, text = await self._acting.act(content, who, address=address)
        return PlainTextResponse(text, status, headers=_FRESH)

    async def _docs(self, _: Request) -> Response:
        page = await asyncio.to_thread(self._docs_page)
        if page is None:
            raise HTTPException(404, "There are no models to document, or they are not parsed yet.")
        policy = f"{POLICY}; frame-ancestors 'none'"
        return HTMLResponse(page, headers=_FRESH | {"Content-Security-Policy": policy})

    def _docs_page(self) -> str | None:
        """Of the project as it was parsed last; made once for each state of its files."""
        state = known_state(dbt_project(self._settings))
        if state is None:
            return None
        if self._docs_of[0] != state.name:
            self._docs_of = state.name, docs_of_state(state)
        return self._docs_of[1]

    async def _flow_style(self, _: Request) -> Response:
        return Response(STYLE, media_type="text/css", headers=_KEPT)

    async def _asset(self, request: Request) -> Response:
        file = _ASSETS / request.path_params["name"]
        if file not in _ASSETS.iterdir():
            raise HTTPException(404, "There is no such file.")
        return FileResponse(file, media_type=_KINDS[file.suffix], headers=_KEPT)


async def _content(request: Request) -> Any:
    try:
        return await request.json()
    except ValueError:
        raise HTTPException(400, "What was sent is not JSON.") from None


def _changed(file: Path) -> int:
    return file.stat().st_mtime_ns
