"""Where events are POSTed to, who may call that address what, and what one request may hold."""

import ssl
from collections.abc import Iterable
from functools import cached_property
from ipaddress import ip_address

from pydantic import Field, SecretStr, field_validator

from ingestion.connectors.http.declare import HttpSource
from ingestion.connectors.port import Access
from ingestion.errors import ConfigError
from ingestion.settings import ProjectPath

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_SECRET_CHARACTERS = 16  # nothing slows down who guesses


class HttpAccess(Access):
    """The variables MILLRACE_HTTP_…: the address, who may use it, and limits of a request."""

    host: str = "127.0.0.1"
    port: int = Field(default=8088, ge=0, le=65535)
    allowed_hosts: str = ""
    tls_cert_file: ProjectPath | None = None
    tls_key_file: ProjectPath | None = None
    proxy: str = ""
    secrets: SecretStr = SecretStr("")
    token: SecretStr = SecretStr("")
    read_token: SecretStr = SecretStr("")
    body_max_bytes: int = Field(default=10 * 2**20, ge=1)
    request_max_events: int = Field(default=10_000, ge=1)
    request_seconds: float = Field(default=30.0, gt=0)
    mart_reads: int = Field(default=2, ge=0)
    mart_seconds: float = Field(default=300.0, gt=0)

    @field_validator("read_token")
    @classmethod
    def _cannot_be_guessed(cls, value: SecretStr) -> SecretStr:
        if 0 < len(value.get_secret_value()) < _SECRET_CHARACTERS:
            raise ValueError(f"a token needs {_SECRET_CHARACTERS} characters or more")
        return value

    @property
    def address(self) -> str:
        """Scheme, host and port, as a client writes them."""
        return self.address_at(self.port)

    @property
    def namespace(self) -> str:
        """The address."""
        return self.address

    def address_at(self, port: int) -> str:
        """The same with the port that was taken."""
        scheme = "https" if self.has_tls else "http"
        return f"{scheme}://{f'[{self.host}]' if ':' in self.host else self.host}:{port}"

    @property
    def has_tls(self) -> bool:
        """Whether it speaks TLS itself."""
        return self.tls_cert_file is not None

    @property
    def is_exposed(self) -> bool:
        """Whether others than programs of this machine reach it."""
        return not is_loopback(self.host) or bool(self.names)

    @cached_property
    def names(self) -> frozenset[str]:
        """The names under which it may be called besides loopback ones, in lower case."""
        named = {name.strip().lower().strip("[]") for name in self.allowed_hosts.split(",")}
        return frozenset(named - {""})

    @cached_property
    def proxies(self) -> frozenset[str]:
        """The addresses from which connections are taken; empty: from everywhere."""
        return frozenset({each.strip() for each in self.proxy.split(",")} - {""})

    @cached_property
    def _secrets(self) -> list[tuple[str, bytes]]:
        pairs = [pair.partition("=") for pair in self.secrets.get_secret_value().split()]
        return [(name, secret.encode()) for name, _, secret in pairs]

    def secrets_of(self, door: str) -> list[bytes]:
        """The secrets that senders to an address may sign with."""
        return [secret for name, secret in self._secrets if name == door and secret]

    def require_safe(self, sources: Iterable[HttpSource] = ()) -> None:
        """Refuse what would be open to strangers.

        Raises:
            ConfigError: Says what is missing.
        """
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ConfigError(
                "MILLRACE_HTTP_TLS_CERT_FILE and MILLRACE_HTTP_TLS_KEY_FILE are needed together"
            )
        self.server_tls()
        if not is_loopback(self.host) and not self.has_tls and not self.proxies:
            raise ConfigError(
                f"events would reach {self.host} unencrypted: set MILLRACE_HTTP_TLS_CERT_FILE and "
                "MILLRACE_HTTP_TLS_KEY_FILE, or name the proxy that has the certificate in "
                "MILLRACE_HTTP_PROXY, or leave MILLRACE_HTTP_HOST at 127.0.0.1"
            )
        for source in sources:
            if self.is_exposed and source.auth == "none":
                raise ConfigError(
                    f"everybody who reaches {self.host} could send to /v1/{source.http}: give its stream "
                    "'auth: token', or the way in which its sender signs"
                )
            if source.signature is not None and not self.secrets_of(source.http):
                raise ConfigError(
                    f"what is sent to /v1/{source.http} is signed, but MILLRACE_HTTP_SECRETS has no "
                    f"secret for it: add {source.http}=SECRET"
                )

    def server_tls(self) -> None:
        """Try the certificate.

        Raises:
            ConfigError: It cannot be used.
        """
        if self.tls_cert_file is None or self.tls_key_file is None:
            return
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_cert_chain(self.tls_cert_file, self.tls_key_file, password=lambda: "")
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"the certificate {self.tls_cert_file} cannot be used with the key {self.tls_key_file} "
                f"({getattr(error, 'strerror', None) or error}): both are PEM files, the key without a "
                "passphrase"
            ) from None


def is_loopback(host: str) -> bool:
    """Whether this name or address always means this machine."""
    if host in _LOOPBACK_NAMES:
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
