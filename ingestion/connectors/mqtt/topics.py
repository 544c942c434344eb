"""Which subscriptions the streams need, and to which streams a message goes. No connection here.

MQTT 5 names the subscriptions of each delivery; 3.1.1 does not, there the topic decides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

from ingestion.connectors.mqtt.declare import MqttSource

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
        return tuple(name for f in asked if matches(f, topic) for name in self._names[f])


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a topic is under a filter, by the rules of MQTT 5, section 4.7.

    Args:
        topic_filter: Levels with + for any one and # for any number at the end.
        topic: As published; those that begin with $ are not under a leading wildcard.
    """
    wanted, levels = topic_filter.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in ("+", "#"):
        return False
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index == len(levels) or level not in ("+", levels[index]):
            return False
    return len(wanted) == len(levels)
