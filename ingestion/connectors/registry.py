"""The kinds of brokers: the only list of them. What a kind brings is in port.py.

A kind of another package is found through the entry point group `millrace.connectors`: name = its kind.
"""

from collections.abc import Iterable
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

from ingestion.connectors.port import CollectingConnector, Connector
from ingestion.connectors.spec import SourceSpec
from ingestion.libraries import require

CONNECTORS = {
    "kafka": "ingestion.connectors.kafka.connector:KAFKA",
    "mqtt": "ingestion.connectors.mqtt.connector:MQTT",
    "http": "ingestion.connectors.http.connector:HTTP",
    "rabbitmq": "ingestion.connectors.rabbitmq.connector:RABBITMQ",
    "kinesis": "ingestion.connectors.kinesis.connector:KINESIS",
}
"""Kind → module and name of its connector; a module is imported when its kind is first asked for."""
ENTRY_POINTS = "millrace.connectors"


def kinds() -> tuple[str, ...]:
    """Every known kind, ours first."""
    return (*CONNECTORS, *(name for name in _installed() if name not in CONNECTORS))


def connector(kind: str) -> Connector:
    """A kind's connector.

    Raises:
        KeyError: There is no such kind.
    """
    place = CONNECTORS.get(kind) or _installed()[kind]
    module, _, name = place.partition(":")
    found: Connector = getattr(import_module(module), name)
    return found


def connectors() -> tuple[Connector, ...]:
    """All of them."""
    return tuple(map(connector, kinds()))


def collecting_connectors() -> tuple[CollectingConnector, ...]:
    """Those whose senders a collector listens to."""
    return tuple(each for each in connectors() if isinstance(each, CollectingConnector))


def is_collected(source: SourceSpec) -> bool:
    """Whether a collector fills a spool for a source; else its broker keeps the events."""
    return source.is_collected and isinstance(connector(source.kind), CollectingConnector)


def require_libraries(kind: str, libraries: Iterable[str], *, extra: str) -> None:
    """Refuse to go on without a client's modules.

    Raises:
        ConfigError: Names the missing ones and how they are installed.
    """
    require(f"sources of kind '{kind}'", libraries, extra=extra)


@cache
def _installed() -> dict[str, str]:
    return {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}
