"""The OpenAPI text is what the running server does: schemathesis asks what it allows, and what not."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ingestion.connectors.http.connector import HTTP
from ingestion.connectors.http.tokens import TokenFile, mart_subject
from ingestion.lake.lake import Lake
from ingestion.serve.shelf import Mart, write_served
from ingestion.settings import load_settings
from tests.ingestion.posting import Post
from tests.repository import REPOSITORY
from tests.servers.ports import free_ports
from tests.waiting import eventually

STREAMS = """
clicks:
  source: {http: clicks}
guarded:
  source: {http: guarded, auth: token, requests_per_minute: 100000}
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str]) -> Iterator[Post]:
    """The collector as a process of its own."""
    folder = tmp_path_factory.mktemp("described")
    (folder / "streams.yml").write_text(STREAMS)
    settings = load_settings(data_dir=folder / "data", catalog=new_database(), http_port=free_ports(1)[0])
    assert settings.catalog is not None
    with Lake(settings) as lake:
        lake.prepare(["clicks", "guarded"])
        lake.connection.execute("create schema marts")
        lake.connection.execute("create table marts.orders as select i as id from range(5) as r(i)")
    write_served(settings.data_dir, [Mart("orders", "marts", "orders", ())])
    port = settings.access(HTTP.kind, HTTP.access).port
    environment = {
        "MILLRACE_PROJECT": str(REPOSITORY),
        "MILLRACE_DATA_DIR": str(settings.data_dir),
        "MILLRACE_STREAMS_FILE": str(folder / "streams.yml"),
        "MILLRACE_CATALOG": settings.catalog.get_secret_value(),
        "MILLRACE_HTTP_PORT": str(port),
        "MILLRACE_HTTP_READ_TOKEN": "a secret that is nowhere",
        "MILLRACE_HTTP_SECRETS": "hooks=another-secret",
    }
    argv = [sys.executable, "-m", "ingestion.collect", HTTP.kind]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(argv, cwd=REPOSITORY, env={**os.environ, **environment}, stderr=log)
    try:
        post = Post(settings, port)
        eventually(lambda: _answers(post), "the collector serves")
        yield post
    finally:
        process.terminate()
        process.wait(timeout=60)


def _answers(post: Post) -> bool:
    try:
        return post.ask("GET", "/healthz").status == 200
    except OSError:
        return False


def test_the_text_has_what_runs_and_no_secret(running: Post) -> None:
    answer = running.ask("GET", "/openapi.json")
    text = answer.json
    assert text["openapi"].startswith("3.1")
    assert {"/v1/clicks", "/v1/guarded", "/v1/receipts/{receipt}", "/v1/marts/{mart}"} <= text["paths"].keys()
    assert text["paths"]["/v1/guarded"]["post"]["security"]
    assert "security" not in text["paths"]["/v1/clicks"]["post"]
    (mart, *_) = text["paths"]["/v1/marts/{mart}"]["get"]["parameters"]
    assert mart["schema"]["enum"] == ["orders"]
    references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(text)))
    assert references <= text["components"]["schemas"].keys()
    assert b"secret" not in answer.body
    assert str(running.settings.data_dir).encode() not in answer.body


@pytest.mark.slow("schemathesis asks a running server a thousand times, for most of a minute")
def test_schemathesis_finds_nothing(running: Post, tmp_path: Path) -> None:
    tokens = TokenFile(running.settings.data_dir / HTTP.collector)
    (tmp_path / "schemathesis.toml").write_text(
        "[auth.openapi]\n"
        f'token = {{ bearer = "{tokens.make("guarded")}" }}\n'
        f'mart_token = {{ bearer = "{tokens.make(mart_subject(""))}" }}\n'
        'read_token = { bearer = "a secret that is nowhere" }\n'
        "[checks.negative_data_rejection]\n"  # 413: more events than a request may hold
        'expected-statuses = ["400", "401", "403", "404", "405", "406", "413", "415", "422", "429", "5xx"]\n'
        "[checks.positive_data_acceptance]\n"  # 422: the draft of Idempotency-Key wants it for another body
        'expected-statuses = ["2xx", "401", "403", "404", "409", "422", "429", "5xx"]\n'
    )
    program = Path(sys.executable).with_name("schemathesis")
    options = ["--seed", "1", "--max-examples", "12"]
    argv = [program, "run", f"http://127.0.0.1:{running.port}/openapi.json", *options]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=500)
    said = "\n".join(line[:500] for line in done.stdout.splitlines())
    assert done.returncode == 0, said[-6000:] + done.stderr[-2000:]
    assert len(running.values("clicks")) > 10
