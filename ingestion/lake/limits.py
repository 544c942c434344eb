"""How soon a client of PostgreSQL notices that the network in between is dead: on every connection.

Without these a query over a dead network waits for two hours, and the server keeps the locks of a dead client
as long. See https://www.postgresql.org/docs/current/libpq-connect.html and runtime-config-connection.html.
"""

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit

NETWORK_LIMITS: Mapping[str, str] = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "25000",
}
"""libpq's parameters: seconds, but for the last (milliseconds). Nothing of it counts on a Unix socket."""

SERVER_LIMITS = (
    "set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 5; set tcp_keepalives_count = 3; "
    "set tcp_user_timeout = 25000"
)
"""The same for the server's side of a session, which may hold a lock."""


def limited(address: str) -> str:
    """A postgresql:// address, or keywords, with the limits; what it says itself of one of them stays."""
    if "://" not in address:
        given = {part.partition("=")[0] for part in address.split()}
        return " ".join(
            [address, *(f"{name}={NETWORK_LIMITS[name]}" for name in NETWORK_LIMITS if name not in given)]
        )
    given = set(dict(parse_qsl(urlsplit(address).query, keep_blank_values=True)))
    added = urlencode({name: value for name, value in NETWORK_LIMITS.items() if name not in given})
    return f"{address}{'&' if '?' in address else '?'}{added}" if added else address
