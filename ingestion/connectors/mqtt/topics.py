"""Which subscriptions the streams need, and to which streams a message goes. No connection here.

MQTT 5 names the subscriptions of each delivery; 3.1.1 does not, there the topic decides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

from ingestion.connectors.mqtt.declare import MqttSource
from ingestion.connectors.mqtt.filters import matches, unshared

_IDENTIFIERS = 268_435_455
_TOPICS_KEPT = 65_536


@dataclass(frozen=True)
class Subscription:
    """One topic filter at the broker, for all streams that declare it."""

    filter: str
    qos: int

    @property
    def identifier(self) -> int:
        """MQTT 5 subscription identifier: the same in every process, because sessions outlive them."""
        return 1 + int.from_bytes(blake2b(self.filter.encode(), digest_size=8).digest()) % _IDENTIFIERS


class Router:
    """Topic → the streams that want it.

    Args:
        sources: Stream's name → its source.

    Attributes:
        subscriptions: What to ask the broker for, one per filter with the highest QoS declared.
    """

    def __init__(self, sources: Mapping[str, MqttSource]) -> None:
        self._names: dict[str, tuple[str, ...]] = {}
        qos: dict[str, int] = {}
        for name, source in sources.items():
            self._names[source.mqtt] = (*self._names.get(source.mqtt, ()), name)
            qos[source.mqtt] = max(source.qos, qos.get(source.mqtt, 0))
        self.subscriptions = tuple(Subscription(*item) for item in qos.items())
        self._filters: dict[int, list[str]] = {}
        for subscription in self.subscriptions:
            self._filters.setdefault(subscription.identifier, []).append(subscription.filter)
        self._match = lru_cache(_TOPICS_KEPT)(self._find)

    def route(self, topic: str, identifiers: Sequence[int] = ()) -> tuple[str, ...]:
        """The streams that this delivery belongs to.

        Args:
            topic: As published.
            identifiers: The delivery's subscription identifiers; empty where the broker sends none.
        """
        return self._match(topic, tuple(identifiers))

    def _find(self, topic: str, identifiers: tuple[int, ...]) -> tuple[str, ...]:
        asked = (
            [name for identifier in identifiers for name in self._filters.get(identifier, ())]
            if identifiers
            else list(self._names)
        )
        return tuple(name for f in asked if matches(unshared(f), topic) for name in self._names[f])
