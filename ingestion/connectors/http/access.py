"""Where events are POSTed to, and what one request may hold."""

from ipaddress import ip_address

from pydantic import Field

from ingestion.connectors.port import Access

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class HttpAccess(Access):
    """The variables MILLRACE_HTTP_…: the address and limits of a request."""

    host: str = "127.0.0.1"
    port: int = Field(default=8088, ge=0, le=65535)
    body_max_bytes: int = Field(default=10 * 2**20, ge=1)
    request_max_events: int = Field(default=10_000, ge=1)
    request_seconds: float = Field(default=30.0, gt=0)

    @property
    def address(self) -> str:
        """Scheme, host and port, as a client writes them."""
        return address_of(self.host, self.port)


def address_of(host: str, port: int) -> str:
    """A URL without a path."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether this name or address always means this machine."""
    if host in _LOOPBACK_NAMES:
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
