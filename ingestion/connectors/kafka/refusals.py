"""Why a Kafka broker did not let us in: TLS, the login, or nobody there.

The connection itself is in kafka.py.
"""

import socket
import ssl

from ingestion.errors import SourceUnavailable
from ingestion.settings import Settings


def refused(where: str, settings: Settings, reason: str) -> SourceUnavailable:
    """The error for a login that the broker turned down; never the password."""
    user = settings.kafka_username or ""
    return SourceUnavailable(
        f"{where} refuses user '{user}' ({reason}); correct MILLRACE_KAFKA_USERNAME, "
        "MILLRACE_KAFKA_PASSWORD, MILLRACE_KAFKA_SASL_MECHANISM and the user's rights"
    )


def accepts_connections(settings: Settings) -> bool:
    """Whether any bootstrap server takes a TCP connection."""
    for server in (settings.kafka_bootstrap_servers or "").split(","):
        host, _, port = server.strip().rpartition(":")
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=1):
                return True
        except (OSError, ValueError):
            continue
    return False


def tls_problem(settings: Settings) -> str:
    """Why no bootstrap server that takes connections shakes hands; empty when one does, or none takes any."""
    problem = ""
    try:
        context = ssl.create_default_context(cafile=settings.kafka_ssl_ca_file)
    except OSError as error:
        return f"the file {settings.kafka_ssl_ca_file} is no certificate: {error.strerror or error}"
    for server in (settings.kafka_bootstrap_servers or "").split(","):
        host, _, port = server.strip().rpartition(":")
        host = host.strip("[]")
        try:
            with socket.create_connection((host, int(port)), timeout=2) as raw:
                context.wrap_socket(raw, server_hostname=host).close()
                return ""
        except ssl.SSLError as error:
            problem = getattr(error, "verify_message", "") or error.reason or str(error)
        except (OSError, ValueError):
            continue
    return problem
