"""What an MQTT broker may forget: what it grants a session, and whether sessions outlived its restarts.

Of persistence and queues MQTT lets nobody ask. MQTT 5 names what a connection is granted (CONNACK, 3.2.2.3);
that sessions outlive a restart is proven by the listener's own past (history.py).
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from paho.mqtt.client import MQTTMessage
from paho.mqtt.properties import Properties

from ingestion.connectors.durability import Reading, listed, span
from ingestion.connectors.mqtt.access import MqttAccess
from ingestion.connectors.mqtt.history import Past
from ingestion.connectors.mqtt.protocol import SESSION_NEVER_EXPIRES
from ingestion.connectors.mqtt.visit import Visit
from ingestion.connectors.port import Finding

_PART = "mqtt durability"
_UPTIME = "$SYS/broker/uptime"
_UPTIME_SECONDS = 2.0
_MARGIN_SECONDS = 60.0
"""A broker publishes its uptime now and then (Mosquitto: each 10 s), so it may have started earlier."""
_QUEUE = (
    "how many messages it queues while millrace is away cannot be asked either (Mosquitto: "
    "max_queued_messages, 1,000 by default)"
)


@dataclass(frozen=True)
class Granted:
    """What a connection was granted.

    Attributes:
        session_seconds: So long a session outlives its connection; None where the broker does not say it.
        qos: The highest that it takes; None where it does not say it.
        started_at: When the broker started (Unix seconds), or up to a minute earlier; None where it does not
            say it.
    """

    session_seconds: float | None = None
    qos: int | None = None
    started_at: float | None = None


def ask(access: MqttAccess, *, timeout_seconds: float) -> Granted:
    """Ask for a session that never expires, see what is granted, and end it.

    Raises:
        ConfigError: No broker is configured, or the certificate file cannot be used.
        SourceUnavailable: It is away, or refuses the login.
    """
    visit = Visit(access, "doctor", timeout_seconds=timeout_seconds, expiry_seconds=SESSION_NEVER_EXPIRES)
    try:
        visit.connect()
        granted, uptime = visit.granted, _uptime(visit)
    finally:
        visit.close()
    started_at = time.time() - uptime if uptime is not None else None
    if not access.is_version_5:
        return Granted(started_at=started_at)
    return Granted(
        _property(granted, "SessionExpiryInterval", SESSION_NEVER_EXPIRES),
        _property(granted, "MaximumQoS", 2),
        started_at,
    )


def judge(
    readings: Sequence[Reading], granted: Granted, past: Mapping[str, Past], access: MqttAccess
) -> Iterator[Finding]:
    """What that is worth.

    Args:
        readings: The streams.
        granted: By the broker.
        past: Client id → its session's past at that broker.
        access: The broker's address.
    """
    if unsafe := [each.stream for each in readings if each.source.qos == 0]:
        yield Finding(
            _PART, "note",
            f"{listed(unsafe)}: QoS 0 is not acknowledged, so nothing is promised; set 'qos: 1' there",
        )  # fmt: skip
    if granted.qos == 0:
        yield Finding(
            _PART, "problem",
            f"the MQTT broker at {access.address} takes QoS 0 only, which it does not acknowledge, so "
            "nothing is promised there: allow QoS 1 in its configuration",
        )  # fmt: skip
    yield from _expiry(granted, access)
    yield from _persistence(granted, past, access)


def _expiry(granted: Granted, access: MqttAccess) -> Iterator[Finding]:
    seconds = granted.session_seconds
    if seconds is None:
        yield Finding(
            _PART, "note",
            f"for how long the broker at {access.address} keeps a session while millrace is away is not "
            "known: MQTT 3.1.1 does not say it, MILLRACE_MQTT_PROTOCOL=5 does",
        )  # fmt: skip
    elif seconds < SESSION_NEVER_EXPIRES:
        yield Finding(
            _PART, "note",
            f"the MQTT broker at {access.address} keeps a session for {span(seconds)} only: what is sent in "
            "a longer outage is lost; raise the longest session in its configuration",
        )  # fmt: skip
    else:
        yield Finding(_PART, "ok", f"{access.address} grants sessions that never expire")


def _persistence(granted: Granted, past: Mapping[str, Past], access: MqttAccess) -> Iterator[Finding]:
    lost_at = max((each.lost_at for each in past.values()), default=0.0)
    started = granted.started_at
    proven = started is not None and any(
        each.made_at < started - _MARGIN_SECONDS and started < each.resumed_at for each in past.values()
    )
    if lost_at and not proven:
        times = sum(each.lost for each in past.values())
        yield Finding(
            _PART, "problem",
            f"the MQTT broker at {access.address} has forgotten a session {times} times, last on "
            f"{datetime.fromtimestamp(lost_at, UTC):%Y-%m-%d %H:%M} UTC: what it had queued for them is "
            "lost; let it keep them on disk (Mosquitto: persistence true)",
        )  # fmt: skip
    elif proven and started is not None:
        yield Finding(
            _PART, "ok",
            f"{access.address} was started on {datetime.fromtimestamp(started, UTC):%Y-%m-%d %H:%M} UTC and "
            f"still knew sessions from before: it keeps them; {_QUEUE}",
        )  # fmt: skip
    else:
        yield Finding(
            _PART, "note",
            f"whether the MQTT broker at {access.address} keeps sessions over its own restart cannot be "
            "asked and was not seen yet: let it keep them on disk (Mosquitto: persistence true), and restart "
            f"it once; {_QUEUE}",
        )  # fmt: skip


def _uptime(visit: Visit) -> float | None:
    """Since how many seconds the broker runs; None where it does not publish that to us."""
    found: list[float] = []

    def received(_client: Any, _data: object, message: MQTTMessage) -> None:
        word = message.payload.split(b" ")[0]
        if word.isdigit():
            found.append(float(word))

    visit.client.on_message = received
    visit.client.subscribe(_UPTIME, 0)
    deadline = time.monotonic() + _UPTIME_SECONDS
    while not found and time.monotonic() < deadline:
        visit.pump(0.05)
    return found[0] if found else None


def _property(properties: Properties | None, name: str, default: int) -> int:
    """A property of the broker's answer; left out, the standard gives its meaning."""
    return int(getattr(properties, name, default))
