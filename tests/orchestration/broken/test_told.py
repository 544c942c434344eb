"""Where a broken model is told: in the web UI as an asset, to the webhook once, in the tags of runs."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from dagster import AssetKey
from pydantic import SecretStr

from orchestration.dbt.broken import read_problems
from orchestration.keys import LEFT_OUT_TAG
from tests.orchestration.broken.conftest import Plant
from tests.waiting import eventually

LEFTS, STAGED = AssetKey(["marts", "lefts"]), AssetKey(["staging", "stg_left"])


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A real HTTP server: its address, and what was posted to it."""
    received: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/t0ken", received
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_broken_model_and_its_followers_stay_assets_and_are_alerted_once(
    plant: Plant, webhook: tuple[str, list[dict[str, str]]]
) -> None:
    url, received = webhook
    plant = replace(plant, settings=plant.settings.replaced(alert_webhook_url=SecretStr(url)))
    plant.write("models/staging/stg_left.sql", "{{ foo( }}")
    definitions = plant.load()
    graph = definitions.resolve_asset_graph()
    for key in (STAGED, LEFTS):
        node = graph.get(key)
        assert not node.is_materializable
        assert "dbt_project/models/staging/stg_left.sql, line 1: " in (node.description or "")
    assert graph.get(LEFTS).parent_keys == {STAGED}
    assert "It follows from stg_left." in (graph.get(LEFTS).description or "")
    for _ in range(2):
        plant.send()
        plant.run(definitions)
    eventually(lambda: bool(received), "the alert has come", seconds=10)
    (alert,) = received
    assert alert["event"] == "models_left_out"
    assert "these are not built: lefts, ops_lateness, stg_left." in alert["error"]


def test_a_model_that_fails_is_left_out_of_the_next_runs_and_a_run_for_its_repair_needs_no_event(
    plant: Plant,
) -> None:
    plant.write("models/marts/lefts.sql", "select no_such_column from {{ ref('stg_left') }}")
    definitions = plant.load()
    plant.send()
    request, success = plant.run(definitions)
    assert (success, LEFTS in (request.asset_selection or ()), LEFT_OUT_TAG in request.tags) == (
        False,
        True,
        False,
    )
    plant.send("right")
    assert read_problems(plant.settings.data_dir) == ()
    request, success = plant.run(definitions)
    assert (success, request.tags[LEFT_OUT_TAG]) == (True, "marts/lefts")
    (sentence,) = read_problems(plant.settings.data_dir)
    assert sentence.startswith("Model marts/lefts failed. It is tried again by itself")
    plant.write("models/marts/lefts.sql", "select count(*) as rows_read from {{ ref('stg_left') }}")
    request, success = plant.run(plant.load())
    assert success
    assert read_problems(plant.settings.data_dir) == ()
    assert LEFTS in (request.asset_selection or ())
    assert plant.built("lefts") == 1
