"""Who gets the metrics, over HTTP."""

from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection

import pytest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ingestion.errors import ConfigError
from ingestion.settings import Settings
from orchestration.metrics.access import door
from orchestration.web.access import Access
from tests.orchestration.metrics.scrape import labels, scrape, served

TOKEN = "correct horse battery"


class One(Collector):
    """A single figure."""

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("one", "It is one.", 1)


def status(port: int, path: str = "/metrics", *, method: str = "GET", **headers: str) -> int:
    """The status of an answer; one that refuses says why in a sentence."""
    asked = HTTPConnection("127.0.0.1", port, timeout=30)
    with closing(asked):
        asked.request(method, path, headers=headers)
        answer = asked.getresponse()
        assert answer.status == 200 or answer.read().decode().strip().endswith(".")
        return answer.status


def test_on_loopback_whoever_asks_by_its_name() -> None:
    with served(One(), Access()) as port:
        assert scrape(port)["one"] == {labels(): 1}
        assert status(port, Host=f"localhost:{port}") == 200
        assert status(port, Host="evil.example") == 403, "a name that was pointed here"
        assert status(port, Host="[x") == 403
        assert status(port, "/") == 404
        assert status(port, method="POST") == 405


def test_with_a_token_whoever_brings_it() -> None:
    with served(One(), Access(hosts=frozenset({"lake.plant"}), password=TOKEN)) as port:
        assert status(port) == 401
        assert status(port, Authorization="Bearer wrong") == 401
        assert status(port, Authorization=f"Bearer {TOKEN}", Host="lake.plant") == 200


def test_what_strangers_reach_needs_token_and_tls(settings: Settings) -> None:
    open_to_all = settings.replaced(metrics_port=9464, metrics_host="0.0.0.0")
    with pytest.raises(ConfigError, match=r"MILLRACE_METRICS_TOKEN, MILLRACE_UI_TLS_CERT_FILE"):
        door(open_to_all)
    assert door(settings) is None, "off unless a port is set"
    assert door(settings.replaced(metrics_port=9464)) is not None
