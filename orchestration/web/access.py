"""How the web UI may be reached: names, password, TLS. What would be open to strangers is refused.

The checks of each request are in guard.py.
"""

import hmac
import ssl
from base64 import b64decode
from dataclasses import dataclass, field
from ipaddress import ip_address

from ingestion.errors import ConfigError
from ingestion.settings import Settings

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Access:
    """How the web UI may be reached.

    Attributes:
        hosts: Names and addresses that a request may be for, besides loopback; in lower case.
        password: What every request must bring; empty: nothing.
        schemes: Of the pages that may send requests.
    """

    hosts: frozenset[str] = frozenset()
    password: str = field(default="", repr=False)
    schemes: frozenset[str] = frozenset({"http", "https"})

    def is_ours(self, host: str) -> bool:
        """Whether a host name or address is one of the web UI's."""
        return host in self.hosts or is_loopback(host)

    def admits(self, authorization: str) -> bool:
        """Whether a request with this header may pass: `Bearer PASSWORD`, or `Basic` with any user.

        Args:
            authorization: The header's value; empty without one.
        """
        if not self.password:
            return True
        given = credentials(authorization)
        return given is not None and hmac.compare_digest(given[1].encode(), self.password.encode())


def credentials(authorization: str) -> tuple[str, str] | None:
    """The name and the password of a header: `Bearer PASSWORD`, or `Basic`; None where it is neither.

    Args:
        authorization: The header's value; empty without one.
    """
    kind, _, given = authorization.partition(" ")
    if kind.lower() == "bearer":
        return "", given.strip()
    if kind.lower() != "basic":
        return None
    try:
        name, _, password = b64decode(given, validate=True).decode().partition(":")
    except ValueError:  # not Base64, or not UTF-8
        return None
    return name, password.strip()


def is_loopback(host: str) -> bool:
    """Whether this name or address always means this machine."""
    if host in _LOOPBACK_NAMES:
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def access(settings: Settings) -> Access:
    """How the web UI of these settings may be reached.

    Raises:
        ConfigError: It would be open to strangers, or its certificate cannot be used.
    """
    password = settings.ui_password.get_secret_value() if settings.ui_password is not None else ""
    tls = settings.ui_tls_cert_file is not None or settings.ui_tls_key_file is not None
    if not is_loopback(settings.ui_host):
        _require_safe(settings.ui_host, password=password, tls=tls or settings.ui_tls_elsewhere)
    if tls:
        server_tls(settings)
    return Access(
        hosts=_names(settings.ui_allowed_hosts, settings.ui_host),
        password=password,
        schemes=frozenset({"https"}) if tls else frozenset({"http", "https"}),
    )


def _require_safe(host: str, *, password: str, tls: bool) -> None:
    lacks = [] if password else ["MILLRACE_UI_PASSWORD"]
    if not tls:
        lacks += ["MILLRACE_UI_TLS_CERT_FILE", "MILLRACE_UI_TLS_KEY_FILE"]
    if lacks:
        raise ConfigError(
            f"the web UI would be open to everybody who reaches {host}: set {', '.join(lacks)}, or leave "
            "MILLRACE_UI_HOST at 127.0.0.1 and let a proxy ask for passwords"
        )


def _names(allowed: str, host: str) -> frozenset[str]:
    names = {name.strip().lower().strip("[]") for name in allowed.split(",")}
    if not _is_any(host):
        names.add(host.lower())
    return frozenset(names - {""})


def _is_any(host: str) -> bool:
    """Whether this address stands for all of the machine's own."""
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


def server_tls(settings: Settings) -> ssl.SSLContext:
    """The certificate and key that the web UI serves with.

    Raises:
        ConfigError: One is missing, or they do not go together.
    """
    if settings.ui_tls_cert_file is None or settings.ui_tls_key_file is None:
        raise ConfigError("MILLRACE_UI_TLS_CERT_FILE and MILLRACE_UI_TLS_KEY_FILE are needed together")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.ui_tls_cert_file, settings.ui_tls_key_file, password=lambda: "")
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"the web UI cannot use the certificate {settings.ui_tls_cert_file} with the key "
            f"{settings.ui_tls_key_file} ({getattr(error, 'strerror', None) or error}): both are PEM "
            "files, the key without a passphrase"
        ) from None
    return context
