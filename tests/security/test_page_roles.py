"""The live page's login and roles, on its real process: who sees what, who may act, what is noted."""

import json
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from ingestion.errors import ConfigError
from ingestion.settings import Settings, load_settings
from orchestration.page.action_log import ACTIONS_FILE, newest_actions
from orchestration.page.actions import ACTIONS, Asked, button, for_viewers
from orchestration.reactions.ledger import Ledger, Notice
from orchestration.reactions.requests import FOLDER
from orchestration.system import services
from orchestration.web.passwords import make_hash, matches
from tests.repository import REPOSITORY
from tests.servers.ports import free_ports
from tests.waiting import eventually

VIEWER, OPERATOR, UI = "looks at the page", "acts on the page", "the web UI's own"
JSON = {"Content-Type": "application/json"}
KEY = "j-1-opened-hook"
DISMISS = {"action": "dismiss_alerts", "of": "hook", "item": KEY, "note": "nobody is on call"}


def login(password: str, name: str = "ada") -> dict[str, str]:
    return {"Authorization": f"Basic {b64encode(f'{name}:{password}'.encode()).decode()}"}


@dataclass
class Page:
    """A running page."""

    settings: Settings
    port: int

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, str]:
        """Status and text of an answer."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=300)
        try:
            text = json.dumps(body).encode() if body is not None else None
            connection.request(method, path, text, {**(JSON if body is not None else {}), **(headers or {})})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        finally:
            connection.close()

    def tiles(self, path: str, headers: Mapping[str, str], *, until: str) -> str:
        """What is sent of a page, until a text has come."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request("GET", path, headers=dict(headers))
            answer, seen = connection.getresponse(), ""
            assert answer.status == 200
            while until not in seen:
                line = answer.readline()
                assert line, seen
                seen += line.decode()
            return seen
        finally:
            connection.close()

    def requests(self) -> list[dict[str, Any]]:
        """What was asked of the ledger of reactions."""
        files = sorted((self.settings.data_dir / FOLDER).glob("*.json"))
        return [json.loads(file.read_text()) for file in files]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str]) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("roles")
    settings = load_settings(data_dir=folder / "data", project=REPOSITORY, catalog=new_database())
    settings.data_dir.mkdir(mode=0o700)
    ledger, now = Ledger(settings.data_dir), datetime.now(UTC)
    ledger.note([Notice(KEY, "hook", "condition", "j-1", {"event": "condition_opened"}, now)])
    (entry,) = ledger.owed("hook")
    ledger.refused([entry], why="503", now=now, gives_up=True)
    extra = {
        "MILLRACE_PROJECT": str(REPOSITORY), "MILLRACE_PAGE_VIEWER_PASSWORD": make_hash(VIEWER),
        "MILLRACE_PAGE_OPERATOR_PASSWORD": make_hash(OPERATOR), "MILLRACE_UI_PASSWORD": UI,
        "MILLRACE_DATA_DIR": str(settings.data_dir),
        "MILLRACE_CATALOG": settings.catalog.get_secret_value() if settings.catalog else "",
    }  # fmt: skip
    (port,) = free_ports(1)
    process = services.page_server(settings, services.environment(settings, extra), port=port)
    process.launch()
    try:
        eventually(lambda: services.ui_answers(settings, port), "the page answers", seconds=120)
        yield Page(settings, port)
    finally:
        process.stop()


@pytest.mark.parametrize("path", ["/", "/sql", "/alerts", "/live?view=sql", "/assets/page.js", "/health"])
def test_without_a_password_nothing_is_shown(page: Page, path: str) -> None:
    for headers in ({}, login("a wrong password"), {"Authorization": f"Basic {VIEWER}"}):
        status, text = page.ask("GET", path, headers=headers)
        assert status == 401, headers
        assert "Millrace</title>" not in text


@pytest.mark.parametrize("path", ["/ask", "/act"])
def test_what_is_sent_needs_a_login_and_comes_from_the_pages_own_site(page: Page, path: str) -> None:
    before = page.requests()
    assert page.ask("POST", path, DISMISS)[0] == 401
    assert page.ask("POST", path, DISMISS, login(OPERATOR) | {"Origin": "http://evil.example"})[0] == 403
    assert page.ask("POST", path, DISMISS, login(OPERATOR) | {"Host": "evil.example"})[0] == 403
    assert page.ask("POST", path, DISMISS, login(OPERATOR) | {"Content-Type": "text/plain"})[0] == 415
    assert page.requests() == before


def test_a_viewer_asks_in_sql_sees_no_button_and_is_refused_each_action(page: Page) -> None:
    before = page.requests()
    status, text = page.ask("GET", "/alerts", headers=login(VIEWER, "bob"))
    assert status == 200
    assert "viewer bob" in text
    assert "<dialog" not in text
    assert page.ask("POST", "/ask", {"sql": "select 1"}, login(VIEWER))[0] not in (401, 403)
    seen = page.tiles("/live?view=journal", login(VIEWER), until="503")
    assert "set aside" in seen
    assert "button" not in seen
    for name in ACTIONS:
        content = {"action": name, "of": "hook", "note": "because"}
        status, text = page.ask("POST", "/act", content, login(VIEWER, "bob"))
        assert (status, "Only an operator" in text) == (403, True), name
    assert page.requests() == before
    refused = newest_actions(page.settings.data_dir, count=len(ACTIONS))
    assert {(each.name, each.role, each.state) for each in refused} == {("bob", "viewer", "refused")}
    assert {each.command for each in refused} == {
        tuple(Asked(action=name, of="hook", note="because").command) for name in ACTIONS
    }


@pytest.mark.parametrize("password", [OPERATOR, UI])
def test_an_operator_acts_as_the_command_line_does_and_it_is_noted(page: Page, password: str) -> None:
    before = len(page.requests())
    _, text = page.ask("GET", "/alerts", headers=login(password))
    assert "<dialog" in text
    assert "button" in page.tiles("/live?view=journal", login(password), until="503")
    assert page.ask("POST", "/act", {**DISMISS, "note": " "}, login(password))[0] == 400
    status, text = page.ask("POST", "/act", DISMISS, login(password, "ada"))
    assert status == 200, text
    assert "hook: 1 alert is dismissed when 'millrace up' runs next" in text
    *_, asked = page.requests()
    assert len(page.requests()) == before + 1
    assert asked == {"wish": "dismiss", "keys": [KEY], "note": "nobody is on call"}
    lines = [json.loads(line) for line in (page.settings.data_dir / ACTIONS_FILE).read_text().splitlines()]
    begun, done = lines[-2:]
    assert (begun["state"], done["state"], done["who"], done["role"]) == ("begun", "done", "ada", "operator")
    assert done["command"] == ["reactions", "dismiss", "hook", "--note=nobody is on call", f"--key={KEY}"]
    assert datetime.fromisoformat(done["at"]).tzinfo == UTC
    assert password not in json.dumps(lines)


def test_what_fails_says_why_and_is_noted_as_failed(page: Page) -> None:
    content = {"action": "retry_rejects", "of": "no_such_stream"}
    status, text = page.ask("POST", "/act", content, login(OPERATOR))
    assert status == 422
    assert "no_such_stream" in text
    (last,) = newest_actions(page.settings.data_dir, count=1)
    assert (last.state, last.said) == ("failed", text)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param({"action": "drop_the_lake"}, id="unknown"),
        pytest.param({"action": "retry_rejects", "of": "--help"}, id="an-option"),
        pytest.param({"action": "retry_rejects", "of": "s", "item": "a\nb"}, id="two-lines"),
        pytest.param({"action": "retry_rejects", "of": "s", "more": 1}, id="more"),
        pytest.param([], id="a-list"),
    ],
)
def test_what_no_button_sends_is_refused(page: Page, content: Any) -> None:
    assert page.ask("POST", "/act", content, login(OPERATOR))[0] == 400


def test_no_value_is_taken_for_an_option() -> None:
    for name in ACTIONS:
        asked = Asked(action=name, of="stream", item="--all", note="--json")
        options = [each for each in asked.command if each.startswith("-")]
        assert "--json" not in options
        assert "--all" not in options or asked.command[-2:] == ["--", "--all"], asked.command


def test_buttons_are_taken_out_whatever_they_hold() -> None:
    made = button("retry_rejects", of="orders", item='<!--/act--> "quoted"')
    assert "<button" in made
    assert for_viewers({"t": f"<p>a{made}b</p>"}) == {"t": "<p>ab</p>"}


def test_a_hash_is_of_its_password_alone(settings: Settings) -> None:
    kept = make_hash(VIEWER)
    assert matches(VIEWER, kept)
    assert not matches(OPERATOR, kept)
    assert kept != make_hash(VIEWER), "its salt differs"
    for broken in ("", VIEWER, "scrypt:1:2:3:x:y", kept[:-6], kept.replace("16384", "9999999")):
        assert not matches(VIEWER, broken)
    with pytest.raises(ConfigError, match="millrace password"):
        load_settings(data_dir=Path("x"), page_viewer_password=VIEWER)
