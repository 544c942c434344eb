"""A topic of Mosquitto under fire; it is killed right after it has saved what it knows.

Mosquitto acknowledges before it saves: what it confirmed after its last save is gone with it, which
docs/delivery.md does not promise. So senders pause while it saves and dies; the collector does not.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from tests.fault.fire.source import Place, Sent, payload
from tests.servers.mosquitto import Mosquitto
from tests.waiting import eventually

WINDOW = 500
"""So many may be under way at once."""


class MqttUnderFire:
    """One topic filter of a broker that only this test uses (source.Source)."""

    collector, once, mark = "mqtt", False, "dup"

    def __init__(self, server: Mosquitto, root: str) -> None:
        self._server, self._root = server, root
        self.declared = {"mqtt": f"{root}/#", "qos": 1}
        self.settings = {"mqtt_host": server.host, "mqtt_port": server.port}
        self.sent = Sent()
        self._pause = threading.Lock()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=f"{root}-sender", clean_session=False)
        self._client.max_inflight_messages_set(WINDOW)
        self._client.reconnect_delay_set(1, 1)
        self._client.connect(server.host, server.port)
        self._client.loop_start()

    def send(self, numbers: Sequence[int]) -> None:
        for first in range(0, len(numbers), WINDOW):
            part = numbers[first : first + WINDOW]
            with self._pause:
                eventually(self._client.is_connected, "the sender is connected")
                under_way = [self._client.publish(f"{self._root}/{n % 7}", payload(n), qos=1) for n in part]
                for each in under_way:
                    each.wait_for_publish(300)
                    assert each.is_published()
            self.sent.confirm(part)

    def strike(self) -> str:
        with self._pause:
            begin = datetime.now(UTC)
            self._server.save()
            self._server.kill()
            self.sent.rolled_back.append((begin, datetime.now(UTC)))
            self._server.start()
        return "broker"

    def heal(self) -> None:
        """Nothing of the kind was seen."""

    def kept(self) -> dict[Place, int] | None:
        return None

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
