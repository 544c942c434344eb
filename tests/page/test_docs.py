"""dbt's documentation beside the live page: what the project declares is shown, and nothing else is asked."""

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from starlette.testclient import TestClient

from ingestion.declare.file import load_streams
from ingestion.settings import Settings, load_settings
from orchestration.dbt.docs import docs_of_state
from orchestration.dbt.project import parse_models
from orchestration.page.app import PageApp
from orchestration.web.access import access
from orchestration.web.guard import Guard
from tests.servers.browser import Browser

MODEL = "#!/model/model.plant.order_progress"
SENTENCE = "How far each production order has come. One row per order."


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The plant's project, parsed; nothing runs."""
    settings = load_settings(data_dir=tmp_path_factory.mktemp("docs"))
    parse_models(settings, load_streams(settings.streams_file))
    return settings


@contextmanager
def served(settings: Settings) -> Iterator[str]:
    """The live page's server; its address."""
    listening = socket.create_server(("127.0.0.1", 0))
    guarded = Guard(PageApp(settings).application(), access(settings))
    server = uvicorn.Server(uvicorn.Config(guarded, log_level="error", timeout_graceful_shutdown=1))
    server.install_signal_handlers = lambda: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def test_a_browser_opens_it_from_the_page_and_asks_nobody_else(plant: Settings, tmp_path: Path) -> None:
    with served(plant) as url, Browser(tmp_path / "browser") as browser:
        browser.watch()
        browser.require_shown(url, lambda: ["dbt docs"])
        assert browser.evaluate("document.querySelector('nav a[href=\"/docs\"]').textContent") == "dbt docs"
        browser.require_shown(f"{url}/docs{MODEL}", lambda: [SENTENCE])
        assert "timestamptz" in browser.text()  # the types that the YAML declares
        asked = {each for each in browser.requested() if not each.startswith(("data:", "blob:"))}
        assert all(each.startswith(url) for each in asked), asked
        assert "/graphql" not in "".join(asked)


def test_a_file_is_opened_without_a_server(plant: Settings, tmp_path: Path) -> None:
    parsed = parse_models(plant, load_streams(plant.streams_file))
    assert parsed.folder is not None
    page = docs_of_state(parsed.folder)
    assert page is not None
    (tmp_path / "docs.html").write_text(page)
    with Browser(tmp_path / "browser") as browser:
        browser.watch()
        browser.require_shown(f"file://{tmp_path}/docs.html{MODEL}", lambda: [SENTENCE])
        assert not [each for each in browser.requested() if each.startswith(("http:", "https:", "ws"))]


def test_a_description_cannot_leave_its_place(plant: Settings, tmp_path: Path) -> None:
    parsed = parse_models(plant, load_streams(plant.streams_file))
    assert parsed.folder is not None
    manifest = json.loads((parsed.folder / "manifest.json").read_text())
    manifest["nodes"]["model.plant.alerts"]["description"] = "</script><script>document.title='evil'</script>"
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    evil, plain = docs_of_state(tmp_path), docs_of_state(parsed.folder)
    assert evil is not None
    assert plain is not None
    assert evil.count("</script>") == plain.count("</script>")
    assert "\\u003c/script>\\u003cscript>document.title" in evil


def test_it_does_not_say_who_made_it(plant: Settings) -> None:
    parsed = parse_models(plant, load_streams(plant.streams_file))
    assert parsed.folder is not None
    page = docs_of_state(parsed.folder)
    assert page is not None
    assert '"user_id": null' in page
    assert not re.search(r'"send_anonymous_usage_stats": true', page)
    assert "INLINE DATA" not in page


def test_without_models_it_says_so(tmp_path: Path) -> None:
    client = TestClient(PageApp(load_settings(data_dir=tmp_path)).application())
    answer = client.get("/docs")
    assert (answer.status_code, "no models" in answer.text) == (404, True)
