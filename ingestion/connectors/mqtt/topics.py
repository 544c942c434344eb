"""Who takes a message: the session's stream, or one that was not known yet when it was queued.

A session holds what was queued under an earlier filter too, so the topic decides and not the subscription.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from ingestion.connectors.mqtt.declare import MqttSource
from ingestion.connectors.mqtt.filters import matches

_TOPICS_KEPT = 65_536


@dataclass(frozen=True)
class Subscription:
    """What a session asks the broker for."""

    filter: str
    qos: int


class Takers:
    """Topic → the streams that a session's messages go to.

    Args:
        stream: The session's stream; empty where the stream was removed.
        sources: Stream's name → its source.
        fresh: The streams that had no session when the collector started. Nobody else fetched for them what
            was queued before.
    """

    def __init__(self, stream: str, sources: Mapping[str, MqttSource], fresh: frozenset[str]) -> None:
        self._own = {stream: sources[stream].topics} if stream in sources else {}
        self._fresh = {name: sources[name].topics for name in sorted(fresh - {stream})}
        self.of = lru_cache(_TOPICS_KEPT)(self._find)

    def _find(self, topic: str) -> tuple[str, ...]:
        own = tuple(name for name, wanted in self._own.items() if matches(wanted, topic))
        return own or tuple(name for name, wanted in self._fresh.items() if matches(wanted, topic))
