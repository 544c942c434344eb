"""A broker that does not let us in: when it is tried again, and the sentence that says why.

The connection itself is in connection.py.
"""

import ssl
from dataclasses import dataclass

REFUSED_CREDENTIALS = frozenset({"Bad user name or password", "Not authorized"})
TAKEN_OVER = "Session taken over"
"""MQTT 5's reason 0x8E; 3.1.1 brokers only close the connection."""


@dataclass(frozen=True)
class Retry:
    """When a lost connection is tried again.

    Attributes:
        first_seconds: After the first failure; doubled after each further one.
        most_seconds: Upper bound, and the wait after refused credentials.
        stable_seconds: A connection that lived this long starts from the first wait again.
        renew_seconds: Subscriptions that the broker's session is thought to hold are repeated after a
            reconnection; with MQTT 3.1.1, which repeats retained messages then, not more often than this.
    """

    first_seconds: float = 0.25
    most_seconds: float = 30.0
    stable_seconds: float = 5.0
    renew_seconds: float = 600.0

    def delay(self, failures: int, *, chance: float) -> float:
        """Seconds to wait after this many failures in a row; chance in [0, 1) spreads the clients."""
        return min(self.first_seconds * 2.0 ** min(failures - 1, 30), self.most_seconds) * (1 - chance / 2)


def unreachable(address: str, error: Exception) -> str:
    """Why no connection came about, and what to check."""
    if isinstance(error, ssl.SSLError):
        return (
            f"TLS with the MQTT broker at {address} failed ({error.reason or error});"
            " check MILLRACE_MQTT_TLS, MILLRACE_MQTT_PORT and MILLRACE_MQTT_CA_FILE"
        )
    return (
        f"the MQTT broker at {address} cannot be reached ({error});"
        " check that it runs, and MILLRACE_MQTT_HOST and MILLRACE_MQTT_PORT"
    )


def refused(address: str, reason: str, user: str | None) -> str:
    """Why the broker sent us away, and what to check; never the password."""
    who, check = "the connection", "PROTOCOL and MILLRACE_MQTT_TLS"
    if reason in REFUSED_CREDENTIALS:
        who = f"the user '{user}'" if user else "a client without a user name"
        check = "USERNAME and MILLRACE_MQTT_PASSWORD"
    return f"the MQTT broker at {address} refused {who} ({reason}); check MILLRACE_MQTT_{check}"


def taken_over(address: str, client_id: str, *, named: bool) -> str:
    """Who ended our session, and what to do about the other one.

    Args:
        address: Of the broker.
        client_id: Ours.
        named: The broker gave this reason; MQTT 3.1.1 brokers only close the connection.
    """
    what = (
        "gave our session to another client with our client id"
        if named
        else "accepts the connection and closes it again, probably because another client uses the id"
    )
    return (
        f"the MQTT broker at {address} {what} '{client_id}'; stop the "
        "other collector or, if its data folder is a copy of this one, delete collector/session.json there"
    )


def refused_subscription(address: str, topic_filter: str, *, reason: str, user: str | None) -> str:
    """Which subscription the broker does not grant, and to whom it has to."""
    return (
        f"the MQTT broker at {address} refused the subscription to {topic_filter} ({reason});"
        f" allow it to '{user or 'anonymous'}' there"
    )
