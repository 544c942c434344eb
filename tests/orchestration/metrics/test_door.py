"""Who gets the metrics, over HTTP."""

import socket
import ssl
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection

import pytest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ingestion.errors import ConfigError
from ingestion.settings import Settings
from orchestration.metrics.access import door
from orchestration.services.process import accepts_tcp
from orchestration.system import services
from orchestration.web.access import Access
from tests.orchestration.metrics.scrape import labels, scrape, served
from tests.repository import REPOSITORY
from tests.servers.certificates import Certificates
from tests.servers.ports import free_ports
from tests.waiting import eventually

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


def test_the_process_speaks_tls_and_a_silent_client_holds_up_nobody(
    settings: Settings, certificates: Certificates
) -> None:
    (port,) = free_ports(1)
    given = settings.replaced(metrics_port=port)
    variables = {
        "MILLRACE_PROJECT": str(REPOSITORY),
        "MILLRACE_METRICS_PORT": str(port),
        "MILLRACE_METRICS_TOKEN": TOKEN,
        "MILLRACE_UI_TLS_CERT_FILE": str(certificates.server),
        "MILLRACE_UI_TLS_KEY_FILE": str(certificates.server),
    }
    process = services.exporter(given, services.environment(given, variables))
    process.launch()
    with ExitStack() as left:
        left.callback(process.stop)
        eventually(lambda: accepts_tcp(port), "it listens")
        left.enter_context(socket.create_connection(("127.0.0.1", port)))  # says nothing
        asked = urllib.request.Request(
            f"https://127.0.0.1:{port}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        trust = ssl.create_default_context(cafile=str(certificates.authority))
        with urllib.request.urlopen(asked, context=trust, timeout=60) as answer:
            assert b"millrace_running 0.0" in answer.read()


def test_what_strangers_reach_needs_token_and_tls(settings: Settings) -> None:
    open_to_all = settings.replaced(metrics_port=9464, metrics_host="0.0.0.0")
    with pytest.raises(ConfigError, match=r"MILLRACE_METRICS_TOKEN, MILLRACE_UI_TLS_CERT_FILE"):
        door(open_to_all)
    assert door(settings) is None, "off unless a port is set"
    assert door(settings.replaced(metrics_port=9464)) is not None
