"""Asks the real application over HTTP, and reads what it says with Prometheus' own parser."""

import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from orchestration.metrics.server import application
from orchestration.web.access import Access

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
Labels = frozenset[tuple[str, str]]


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def served(collector: Collector, access: Access) -> Iterator[int]:
    """The port at which it is served while the block runs."""
    server = make_server("127.0.0.1", 0, application(collector, access), handler_class=_Silent)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield int(server.server_port)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def scrape(port: int) -> dict[str, dict[Labels, float]]:
    """Sample's name → labels → value."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Accept": OPENMETRICS})
    with urllib.request.urlopen(request, timeout=60) as answer:
        text = answer.read().decode()
    found: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
    return found


def labels(**values: str) -> Labels:
    """As the keys of `scrape` are."""
    return frozenset(values.items())
