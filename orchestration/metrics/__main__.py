"""The exporter's process: `python -m orchestration.metrics`. It needs nothing that may be away."""

import ssl
import sys
from importlib.metadata import version
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import ingestion.telemetry.plain_tracebacks  # noqa: F401 - before what logs

# isort: split
from ingestion.errors import MillraceError
from ingestion.project import DISTRIBUTION
from ingestion.settings import load_settings
from orchestration.metrics.access import door
from orchestration.metrics.exporter import Exporter
from orchestration.metrics.history import keep_history
from orchestration.metrics.server import application


class _Server(ThreadingMixIn, WSGIServer):
    """A thread each: a slow scraper holds up no other."""

    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    """No line for each scrape; who sends nothing is cut off."""

    timeout = 30

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def main() -> int:
    """Serve until SIGTERM; returns the exit code."""
    try:
        settings = load_settings()
        opened = door(settings)
        if opened is None:
            print("MILLRACE_METRICS_PORT is not set: there is nothing to serve", file=sys.stderr)
            return 1
        exporter = Exporter(settings, version=version(DISTRIBUTION))
        app = application(exporter, opened.access)
        server = make_server(opened.host, opened.port, app, server_class=_Server, handler_class=_Quiet)
        if opened.tls is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(*opened.tls)
            # The handshake is made by each connection's thread: one that does not speak holds up no other.
            server.socket = context.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
    except (MillraceError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    keep_history(exporter, settings.data_dir)
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
