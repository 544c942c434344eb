"""The collectors of a system: one of a kind, or several that share its messages, each with spools of its own.

Where the spools of each are, spool/log.py says.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Self

from ingestion.connectors.port import CollectingConnector, SharingConnector
from ingestion.connectors.registry import collecting_connectors, is_collected
from ingestion.declare.stream import Stream
from ingestion.settings import Settings


class Member(NamedTuple):
    """A collector of a kind.

    Attributes:
        connector: The kind.
        number: 0 for the first one, which takes all of its kind's streams; the others take those that are
            shared.
    """

    connector: CollectingConnector
    number: int = 0

    @classmethod
    def named(cls, name: str) -> Self | None:
        """The collector of a name; None where it is something else's."""
        return cls._found({each.collector: each for each in collecting_connectors()}, name)

    @classmethod
    def keyed(cls, key: str) -> Self | None:
        """The collector of a key; None for a kind that is not installed."""
        return cls._found({each.kind: each for each in collecting_connectors()}, key)

    @classmethod
    def _found(cls, connectors: dict[str, CollectingConnector], name: str) -> Self | None:
        first, hyphen, number = name.rpartition("-")
        if hyphen and first in connectors and number.isdecimal() and int(number):
            return cls(connectors[first], int(number))
        return cls(connectors[name]) if name in connectors else None

    @property
    def name(self) -> str:
        """The name of its process, of its log, and of its folder in the data folder."""
        return f"{self.connector.collector}-{self.number}" if self.number else self.connector.collector

    @property
    def key(self) -> str:
        """What commands and backups call it: the kind, and for the others their number too."""
        return f"{self.connector.kind}-{self.number}" if self.number else self.connector.kind

    def takes(self, stream: Stream) -> bool:
        """Whether it listens for a stream."""
        source = stream.source
        return (
            stream.kind == self.connector.kind
            and source.is_collected
            and (not self.number or source.is_shared)
        )


def members(settings: Settings, streams: Iterable[Stream]) -> list[Member]:
    """The collectors that streams need; of kinds that are not configured, too.

    One that once ran goes on when fewer are wanted: its session at the broker goes on getting its part.

    Args:
        settings: How many are wanted, and the data folder.
        streams: The declared ones.
    """
    declared = [stream for stream in streams if is_collected(stream.source)]
    return [
        member
        for connector in collecting_connectors()
        for member in _of_kind(settings, connector)
        if any(member.takes(stream) for stream in declared)
    ]


def members_with_state(data_dir: Path) -> list[Member]:
    """The collectors that have a folder in a data folder: they run or have run."""
    found = (Member.named(path.name) for path in sorted(data_dir.iterdir()) if path.is_dir())
    return [member for member in found if member is not None]


def _of_kind(settings: Settings, connector: CollectingConnector) -> list[Member]:
    if not isinstance(connector, SharingConnector):
        return [Member(connector)]
    wanted = connector.collectors(settings.access(connector.kind, connector.access))
    known = members_with_state(settings.data_dir) if settings.data_dir.is_dir() else []
    ran = [each.number for each in known if each.connector.kind == connector.kind]
    return [Member(connector, number) for number in range(max([wanted - 1, *ran]) + 1)]
