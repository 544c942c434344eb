"""The door in front of the exporter: one path, read-only, with the checks that a scrape has to pass."""

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.registry import Collector

from orchestration.web.access import Access

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
_PATH = "/metrics"


def application(collector: Collector, access: Access) -> Wsgi:
    """What answers: text as Prometheus or OpenMetrics has it, whichever the scraper asks for.

    Args:
        collector: What is served.
        access: Who may ask.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    metrics: Wsgi = make_wsgi_app(registry)

    def serve(request: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        refused = _refusal(request, access)
        if refused is None:
            return metrics(request, start)
        status, sentence = refused
        headers = [("Content-Type", "text/plain; charset=utf-8")]
        if status.startswith("401"):
            headers.append(("WWW-Authenticate", 'Bearer realm="Millrace"'))
        start(status, headers)
        return [f"{sentence}\n".encode()]

    return serve


def _refusal(request: dict[str, Any], access: Access) -> tuple[str, str] | None:
    """Status and sentence; None when the request may pass."""
    if request["REQUEST_METHOD"] not in ("GET", "HEAD"):
        return "405 Method Not Allowed", "Metrics are only read."
    # A page of another site could point its own name at this machine and read what comes (DNS rebinding).
    try:
        host = urlsplit(f"//{request.get('HTTP_HOST', '')}").hostname or ""
    except ValueError:
        host = ""
    if not access.is_ours(host.lower()):
        return "403 Forbidden", "This host name is not known here: add it to MILLRACE_UI_ALLOWED_HOSTS."
    if not access.admits(request.get("HTTP_AUTHORIZATION", "")):
        return "401 Unauthorized", "The token is missing or wrong: it is the value of MILLRACE_METRICS_TOKEN."
    if request["PATH_INFO"] != _PATH:
        return "404 Not Found", f"Metrics are at {_PATH}."
    return None
