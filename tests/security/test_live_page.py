"""The live page's door is the web UI's: on the real server, other names, other sites, and the password."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPConnection

import pytest

from ingestion.settings import load_settings
from orchestration.services.process import wait_until
from orchestration.system import services
from tests.repository import REPOSITORY
from tests.servers.ports import free_ports

PASSWORD = "correct horse battery"
JSON = {"Content-Type": "application/json"}
QUESTION = json.dumps({"sql": "select 1"})


@dataclass
class Door:
    """A running page."""

    port: int

    def ask(
        self, method: str, path: str, body: str = "", headers: Mapping[str, str] | None = None
    ) -> tuple[int, str, Mapping[str, str]]:
        """Status, text and headers of an answer."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body.encode() or None, dict(headers or {}))
            answer = connection.getresponse()
            # Live events never end: their first line says enough.
            text = (
                answer.readline()
                if answer.headers["Content-Type"].startswith("text/event")
                else answer.read()
            )
            return answer.status, text.decode(errors="replace"), answer.headers
        finally:
            connection.close()


@pytest.fixture(scope="module")
def doors(
    tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str]
) -> Iterator[tuple[Door, Door]]:
    """As it is without any setting, and with a password."""
    with ExitStack() as stack:
        made = []
        for password in ("", PASSWORD):
            folder = tmp_path_factory.mktemp("page")
            settings = load_settings(data_dir=folder, catalog=new_database(), project=REPOSITORY)
            extra = {"MILLRACE_PROJECT": str(REPOSITORY), "MILLRACE_DATA_DIR": str(folder)}
            extra |= {"MILLRACE_UI_PASSWORD": password}
            assert settings.catalog is not None
            extra |= {"MILLRACE_CATALOG": settings.catalog.get_secret_value()}
            (port,) = free_ports(1)
            process = services.page_server(settings, services.environment(settings, extra), port=port)
            process.launch()
            stack.callback(process.stop)
            made.append((process, settings, port))
        for process, settings, port in made:
            up = wait_until(
                lambda s=settings, p=port, c=process: services.ui_answers(s, p) or not c.is_running(),  # type: ignore[misc]
                timeout_s=120,
            )
            assert up, "no answer"
            assert process.is_running(), process.log_tail(20)
        yield Door(made[0][2]), Door(made[1][2])


def test_pages_load_nothing_from_elsewhere_and_stand_in_no_frame(doors: tuple[Door, Door]) -> None:
    for path in (
        "/",
        "/flow",
        "/marts",
        "/sql",
        "/alerts",
        "/stream/x",
        "/assets/page.js",
        "/assets/flow.css",
    ):
        status, text, headers = doors[0].ask("GET", path)
        assert status == 200, path
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "style=" not in text, "the policy would refuse it"
        assert "http://" not in text.replace("http://www.w3.org/", "")
    assert doors[0].ask("GET", "/assets/../app.py")[0] == 404
    assert doors[0].ask("GET", "/assets/nothing.js")[0] == 404
    assert doors[0].ask("GET", "/live?view=nothing")[0] == 404


@pytest.mark.parametrize("host", ["evil.example", "evil.example:3001", "", "127.0.0.1.evil.example"])
def test_another_host_name_is_refused_everywhere(doors: tuple[Door, Door], host: str) -> None:
    for path in ("/", "/live?view=overview", "/assets/page.js", "/health"):
        assert doors[0].ask("GET", path, headers={"Host": host})[0] == 403, path
    assert doors[0].ask("POST", "/ask", QUESTION, JSON | {"Host": host})[0] == 403


def test_a_page_of_another_site_asks_nothing(doors: tuple[Door, Door]) -> None:
    door = doors[0]
    for origin in ("http://evil.example", "null", f"http://localhost:{door.port}", "file://"):
        assert door.ask("POST", "/ask", QUESTION, JSON | {"Origin": origin})[0] == 403, origin
        assert door.ask("GET", "/live?view=overview", headers={"Origin": origin})[0] == 403, origin
    assert door.ask("POST", "/ask", QUESTION, {"Content-Type": "text/plain"})[0] == 415
    own = {"Origin": f"http://127.0.0.1:{door.port}"}
    assert door.ask("GET", "/live?view=overview", headers=own)[:2] == (200, "retry: 2000\n")
    assert door.ask("POST", "/ask", QUESTION, JSON | own)[0] in (200, 503)
    assert door.ask("POST", "/ask", "no JSON", JSON | own)[0] == 400


def test_with_a_password_nothing_is_shown_without_it(doors: tuple[Door, Door]) -> None:
    door, right = doors[1], {"Authorization": f"Bearer {PASSWORD}"}
    for path in ("/", "/live?view=overview", "/assets/page.js", "/health"):
        status, _, headers = door.ask("GET", path)
        assert (status, "Basic" in headers["WWW-Authenticate"]) == (401, True), path
        assert door.ask("GET", path, headers=right)[0] == 200, path
    assert door.ask("POST", "/ask", QUESTION, JSON)[0] == 401
