"""Why a Kafka broker did not let us in: TLS, the login, or nobody there.

The connection itself is in log.py.
"""

import socket
import ssl

from ingestion.connectors.kafka.access import KafkaAccess
from ingestion.errors import SourceUnavailable


def refused(where: str, access: KafkaAccess, reason: str) -> SourceUnavailable:
    """The error for a login that the broker turned down; never the password."""
    user = access.username or ""
    return SourceUnavailable(
        f"{where} refuses user '{user}' ({reason}); correct MILLRACE_KAFKA_USERNAME, "
        "MILLRACE_KAFKA_PASSWORD, MILLRACE_KAFKA_SASL_MECHANISM and the user's rights"
    )


def accepts_connections(access: KafkaAccess) -> bool:
    """Whether any bootstrap server takes a TCP connection."""
    for server in access.servers:
        host, _, port = server.rpartition(":")
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=1):
                return True
        except (OSError, ValueError):
            continue
    return False


def tls_problem(access: KafkaAccess) -> str:
    """Why no bootstrap server that takes connections shakes hands; empty when one does, or none takes any."""
    problem = ""
    try:
        context = ssl.create_default_context(cafile=access.ssl_ca_file)
    except OSError as error:
        return f"the file {access.ssl_ca_file} is not a certificate: {error.strerror or error}"
    for server in access.servers:
        host, _, port = server.rpartition(":")
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
