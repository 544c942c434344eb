"""Which partitions a stream reads on, which it retires and which stop.

What the declaration, the broker and the ledger say together.
Rules: docs/delivery.md.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ingestion.log.port import Bounds
from ingestion.log.positions import GONE, UNDECLARED, Position


@dataclass(frozen=True)
class Standing:
    """How the partitions of the ledger stand.

    Attributes:
        read: Partition → position, of those to go on with; one that was retired and is there again is among
            them.
        retire: Partition → why it is to be retired now.
        stopped: Partition → how many unread positions the broker took with it.
    """

    read: Mapping[str, Position]
    retire: Mapping[str, str]
    stopped: Mapping[str, int]

    def sentences(self, stream: str, positions: Mapping[str, Position]) -> tuple[str, ...]:
        """What is wrong with the partitions that stopped, and the way out."""
        return tuple(
            f"stream '{stream}': {name} is gone at the broker with {count:,} unread positions ("
            f"{positions[name].next} to {positions[name].known_end}); the stream's other partitions go on: "
            f"restore the topic, or accept the loss with 'millrace adopt {stream}'"
            for name, count in sorted(self.stopped.items())
        )


def stand(
    positions: Mapping[str, Position],
    bounds: Mapping[str, Bounds],
    *,
    covers: Callable[[str], bool],
    is_kept: bool,
) -> Standing:
    """Sort the ledger's partitions.

    Args:
        positions: How far each is in the lake.
        bounds: What the log holds.
        covers: Whether the declaration covers a partition.
        is_kept: The log keeps everything until it is in the lake (Log.keeps_until_confirmed). One that is
            gone is a loss then, whatever was read: a batch refuses it.
    """
    read, retire, stopped = dict[str, Position](), dict[str, str](), dict[str, int]()
    for name, position in positions.items():
        if name in bounds or (is_kept and not position.retired):
            read[name] = position
        elif position.retired:
            continue
        elif not covers(name):
            retire[name] = UNDECLARED
        elif position.known_end <= position.next:
            retire[name] = GONE
        else:
            stopped[name] = position.known_end - position.next
    return Standing(read, retire, stopped)


def absent(stream: str, places: Iterable[str]) -> tuple[str, ...]:
    """Sentences about places that a stream names and the broker does not have, while it has others of it."""
    return tuple(
        f"stream '{stream}': the broker has no '{place}'; the stream's other topics go on: create it, or "
        "take it out of streams.yml"
        for place in places
    )
