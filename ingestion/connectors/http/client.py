"""Connections to the collector's server, for those who look and send."""

import ssl
from http.client import HTTPConnection, HTTPSConnection
from ipaddress import ip_address

from pydantic import SecretStr

from ingestion.connectors.http.access import HttpAccess
from ingestion.errors import SourceUnavailable


def connect(access: HttpAccess, *, timeout_seconds: float) -> HTTPConnection:
    """An open connection.

    Raises:
        SourceUnavailable: Nothing listens there, or it is not ours.
    """
    connection = connection_to(access, timeout_seconds=timeout_seconds)
    try:
        connection.connect()
    except OSError as error:
        raise SourceUnavailable(
            f"nothing receives events at {access.address} ({error.strerror or error}): is the system "
            "running, are MILLRACE_HTTP_HOST and MILLRACE_HTTP_PORT right?"
        ) from None
    return connection


def connection_to(access: HttpAccess, *, timeout_seconds: float) -> HTTPConnection:
    """A connection that is not open yet. With TLS it trusts the certificate of this installation alone."""
    host = _reachable(access.host)
    if access.tls_cert_file is None:
        return HTTPConnection(host, access.port, timeout=timeout_seconds)
    context = ssl.create_default_context(cafile=str(access.tls_cert_file))
    context.check_hostname = False  # the certificate itself is known, whatever it calls this machine
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return HTTPSConnection(host, access.port, timeout=timeout_seconds, context=context)


def bearer_header(token: SecretStr) -> dict[str, str]:
    """The header that shows a token; none without one."""
    value = token.get_secret_value()
    return {"Authorization": f"Bearer {value}"} if value else {}


def _reachable(host: str) -> str:
    """An address of this machine for the one that stands for all of them."""
    try:
        if ip_address(host).is_unspecified:
            return "::1" if ":" in host else "127.0.0.1"
    except ValueError:
        pass
    return host
