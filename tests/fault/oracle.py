"""Knows every event that a broker acknowledged, and holds the lake against it: invariants I1, I2, I3 and I6.

I1 every one is there · I2 once · I3 none that was never sent · I6 landed + rejected = read, windows join.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from kafka import KafkaProducer

from ingestion.lake.lake import Lake
from ingestion.lake.ledger import prove


def make_producer(servers: str) -> KafkaProducer:
    """A producer that waits for every replica."""
    return KafkaProducer(bootstrap_servers=servers, acks="all", linger_ms=5)


@dataclass
class KafkaOracle:
    """Sends events that are all different, and remembers where each one is.

    Attributes:
        servers: Bootstrap servers.
        topic: Where to send.
        make: The payload of the event of a number; all are different.
        acknowledged: (partition, position) → value.
        producer: One that its owner keeps and closes; else each `send` makes its own.
    """

    servers: str
    topic: str
    make: Callable[[int], bytes] = lambda number: b'{"n": %d}' % number
    acknowledged: dict[tuple[str, int], bytes] = field(default_factory=dict)
    producer: KafkaProducer | None = None

    def send(self, count: int, *, partitions: int, malformed_every: int = 10) -> None:
        """Send events and wait for every acknowledgement."""
        producer, sent = self.producer or make_producer(self.servers), []
        for _ in range(count):
            number = len(self.acknowledged) + len(sent)
            event = self.make(number)
            value = event[:-1] if number % malformed_every == 0 else event
            sent.append((value, producer.send(self.topic, value, partition=number % partitions)))
        for value, future in sent:
            place = future.get(timeout=60)
            self.acknowledged[f"{place.topic}-{place.partition}", place.offset] = value
        if producer is not self.producer:
            producer.close()

    def violations(self, lake: Lake, stream: str) -> list[str]:
        """What is wrong with the lake now, as sentences; empty: the promise holds."""
        rows = lake.query(
            f"select source_partition, position, payload::blob from raw.{stream} union all "
            "select source_partition, position, payload_raw from raw.rejects where stream = ?",
            [stream],
        )
        found = {(partition, position): value for partition, position, value in rows}
        sentences = [f"I6: {defect.message}" for defect in prove(lake, stream).defects]
        sentences += [f"I1: {place} is missing" for place in self.acknowledged.keys() - found.keys()]
        sentences += [f"I3: {place} was never sent" for place in found.keys() - self.acknowledged.keys()]
        if len(rows) != len(found):
            sentences.append(f"I2: {len(rows) - len(found)} rows are there twice")
        sentences += [
            f"I3: {place} is {found[place]!r}, sent was {value!r}"
            for place, value in self.acknowledged.items()
            if place in found and found[place] != value
        ]
        return sentences
