"""Why Kafka did not do what was asked: TLS, the login, a topic that is missing, or nobody there.

The connections themselves are in log.py and send.py.
"""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from kafka import errors as kafka_errors

from ingestion.connectors.kafka.access import KafkaAccess
from ingestion.errors import SourceMissing, SourceUnavailable

_REFUSALS = (
    kafka_errors.SaslAuthenticationFailedError,
    kafka_errors.AuthorizationError,
    kafka_errors.UnsupportedSaslMechanismError,
)


@contextmanager
def translated(where: str, access: KafkaAccess, *, missing: str) -> Iterator[None]:
    """kafka-python's errors → SourceUnavailable with the place and the remedy.

    Args:
        where: The beginning of each sentence.
        access: Addresses and credentials.
        missing: The sentence for a topic that does not exist.
    """
    try:
        yield
    except kafka_errors.UnknownTopicOrPartitionError:
        raise SourceMissing(missing) from None
    except _REFUSALS as error:
        raise refused(where, access, type(error).__name__) from None
    except kafka_errors.KafkaConfigurationError:
        raise
    except (kafka_errors.KafkaError, OSError) as error:
        if access.security_protocol.endswith("SSL") and (problem := tls_problem(access)):
            raise SourceUnavailable(
                f"{where} cannot be spoken to over TLS ({problem}); check MILLRACE_KAFKA_SSL_CA_FILE, "
                "MILLRACE_KAFKA_SECURITY_PROTOCOL, the port, and the names in the broker's certificate"
            ) from None
        if access.uses_sasl and accepts_connections(access):
            # kafka-python tries a refused login again until its time is over, then reports the time.
            raise refused(where, access, "it closes the connection at the login") from None
        raise SourceUnavailable(
            f"{where} does not answer ({type(error).__name__}); is it running, is the address right?"
        ) from None


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
