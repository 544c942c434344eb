"""The web UI as this machine reaches it: its address for browsers, and requests of the system itself.

Requests go to the port that the system has started, past proxies, and trust that port's own certificate.
"""

import json
import ssl
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from ingestion.settings import Settings


def local_host(settings: Settings) -> str:
    """The address at which this machine reaches what listens on the configured one."""
    try:
        given = ip_address(settings.ui_host)
    except ValueError:
        return settings.ui_host
    if not given.is_unspecified:
        return settings.ui_host
    return "127.0.0.1" if given.version == 4 else "::1"


def browser_address(settings: Settings, port: int) -> str:
    """The web UI's address for a browser: with the first allowed name where it listens everywhere."""
    names = [name.strip() for name in settings.ui_allowed_hosts.split(",") if name.strip()]
    host = local_host(settings)
    if host != settings.ui_host and settings.ui_tls_cert_file is not None and names:
        host = names[0]
    scheme = "https" if settings.ui_tls_cert_file is not None else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


class WebClient:
    """Sends requests to the web UI of this system.

    Args:
        settings: Of the system.
        port: Where the web UI listens.
    """

    def __init__(self, settings: Settings, port: int) -> None:
        self._host, self._port = local_host(settings), port
        self._certificate = settings.ui_tls_cert_file
        self._password = settings.ui_password

    def post(self, path: str, body: Mapping[str, object], *, timeout_s: float) -> bool:
        """Post JSON.

        Args:
            path: From the root.
            body: What is sent.
            timeout_s: Of each step, seconds.

        Returns:
            Whether it was taken; False when the web UI is away or refuses it.
        """
        return self._request(path, body, timeout_s=timeout_s) is not None

    def _request(self, path: str, body: Mapping[str, object], *, timeout_s: float) -> bytes | None:
        """The answer's body; None when it was not taken."""
        headers = {"Content-Type": "application/json"}
        if self._password is not None:
            headers["Authorization"] = f"Bearer {self._password.get_secret_value()}"
        try:
            connection = self._connection(timeout_s)
            try:
                connection.request("POST", path, json.dumps(body).encode(), headers)
                answer = connection.getresponse()
                return answer.read() if answer.status == 200 else None
            finally:
                connection.close()
        except (OSError, HTTPException, ValueError):
            return None

    def ask(
        self, query: str, variables: Mapping[str, object], *, timeout_s: float
    ) -> Mapping[str, Any] | None:
        """Ask the web UI by GraphQL.

        Args:
            query: GraphQL: a query or a mutation.
            variables: Its variables.
            timeout_s: Of each step, seconds.

        Returns:
            Its data; None when the web UI is away, refuses it, or does not answer with data.
        """
        answer = self._request("/graphql", {"query": query, "variables": variables}, timeout_s=timeout_s)
        try:
            data = json.loads(answer)["data"] if answer is not None else None
        except (ValueError, TypeError, KeyError):
            return None
        return data if isinstance(data, dict) else None

    def answers(self, *, timeout_s: float) -> bool:
        """Whether the web UI answers a request, whatever it says.

        Args:
            timeout_s: Of each step, seconds.
        """
        try:
            connection = self._connection(timeout_s)
            try:
                connection.request("GET", "/server_info")
                return bool(connection.getresponse().status)
            finally:
                connection.close()
        except (OSError, HTTPException, ValueError):
            return False

    def _connection(self, timeout_s: float) -> HTTPConnection:
        if self._certificate is None:
            return HTTPConnection(self._host, self._port, timeout=timeout_s)
        return HTTPSConnection(
            self._host, self._port, timeout=timeout_s, context=_trusting_only(self._certificate)
        )


def _trusting_only(certificate: Path) -> ssl.SSLContext:
    """Trust in the first certificate of a file alone, whatever name it is for and whoever signed it."""
    text = certificate.read_text(encoding="ascii", errors="replace")
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    own = begin + text.partition(begin)[2].partition(end)[0] + end
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=own)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
