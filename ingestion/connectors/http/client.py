"""A connection to the collector's server, for those who look and send."""

from http.client import HTTPConnection

from ingestion.connectors.http.access import HttpAccess
from ingestion.errors import SourceUnavailable


def connect(access: HttpAccess, *, timeout_seconds: float) -> HTTPConnection:
    """An open connection.

    Raises:
        SourceUnavailable: Nothing listens there.
    """
    connection = HTTPConnection(access.host, access.port, timeout=timeout_seconds)
    try:
        connection.connect()
    except OSError as error:
        raise SourceUnavailable(
            f"nothing receives events at {access.address} ({error.strerror or error}): is the system "
            "running, are MILLRACE_HTTP_HOST and MILLRACE_HTTP_PORT right?"
        ) from None
    return connection
