"""A shell with variables for psql and a proxy: Millrace goes where its own settings say."""

import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from ingestion.environment import exported
from ingestion.settings import Settings
from tests.repository import REPOSITORY

_FOR_PSQL = {
    "PGHOST": "127.0.0.9",
    "PGHOSTADDR": "127.0.0.9",
    "PGPORT": "1",
    "PGUSER": "somebody",
    "PGDATABASE": "theirs",
    "PGPASSWORD": "another",
    "PGSERVICE": "missing",
    "PGSSLMODE": "require",
    "PGOPTIONS": "-c search_path=nothing -c default_transaction_read_only=on",
    "PGDATESTYLE": "German",
    "PGTZ": "Asia/Tokyo",
    "PGCLIENTENCODING": "LATIN1",
    "PGTARGETSESSIONATTRS": "standby",
}
_OPENS_A_LAKE = """
from ingestion.lake.lake import Lake
from ingestion.settings import load_settings
with Lake(load_settings()) as lake:
    lake.connection.execute("create schema if not exists mine")
    lake.connection.execute("create table mine.days as select date '2026-02-01' as day")
    print(lake.query("select day::text from mine.days"))
"""
_ASKS = """
import sys, urllib.request
import ingestion.settings
print(urllib.request.urlopen(sys.argv[1], timeout=20).read().decode())
"""


def run(code: str, *arguments: str, env: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=REPOSITORY, env=os.environ | env, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_variables_for_psql_do_not_lead_the_catalog_astray(settings: Settings) -> None:
    assert settings.catalog is not None
    ours = {
        "MILLRACE_DATA_DIR": str(settings.data_dir),
        "MILLRACE_CATALOG": settings.catalog.get_secret_value(),
    }
    assert run(_OPENS_A_LAKE, env=_FOR_PSQL | ours) == "[('2026-02-01',)]"


def test_what_runs_here_is_not_asked_through_a_proxy() -> None:
    class Here(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"here")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Here)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        nowhere = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY"), "http://127.0.0.1:1")
        address = f"http://127.0.0.1:{server.server_port}"
        asked = {"NO_PROXY": "", "no_proxy": ""}
        assert run(_ASKS, address, env=nowhere | asked) == "here"
        assert run(_ASKS, address, env=nowhere | asked | {"NO_PROXY": "one.example, two.example"}) == "here"
    finally:
        server.shutdown()
        server.server_close()


def test_variables_are_lent_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_TEST_A", "a")
    monkeypatch.delenv("MILLRACE_TEST_B", raising=False)
    with exported({"MILLRACE_TEST_A": None, "MILLRACE_TEST_B": "b"}):
        assert "MILLRACE_TEST_A" not in os.environ
        assert os.environ["MILLRACE_TEST_B"] == "b"
    assert os.environ["MILLRACE_TEST_A"] == "a"
    assert "MILLRACE_TEST_B" not in os.environ
