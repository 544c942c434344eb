"""A Kafka topic under fire; the broker is killed and comes back on its disk."""

from __future__ import annotations

from collections.abc import Sequence

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from tests.fault.fire.source import Place, Sent, number_of, payload
from tests.servers.apache_kafka import KafkaServer

PARTITIONS = 2


class KafkaUnderFire:
    """A topic of a broker that only this test uses (source.Source)."""

    collector, once, mark = "", True, ""

    def __init__(self, server: KafkaServer, topic: str) -> None:
        server.create_topic(topic, partitions=PARTITIONS)
        self._server, self._topic = server, topic
        self.declared = {"kafka": topic}
        self.settings = {"kafka_bootstrap_servers": server.bootstrap_servers}
        self.sent = Sent()
        self._producer = KafkaProducer(bootstrap_servers=server.bootstrap_servers, linger_ms=5)

    def send(self, numbers: Sequence[int]) -> None:
        left = list(numbers)
        while left:
            under_way = []
            for number in left:
                part = number % PARTITIONS
                under_way.append((number, self._producer.send(self._topic, payload(number), partition=part)))
            left = []
            for number, future in under_way:
                try:
                    future.get(timeout=180)
                except KafkaError:
                    left.append(number)
            self.sent.repeat(left)
            self.sent.confirm([number for number, _ in under_way if number not in set(left)])

    def strike(self) -> str:
        self._server.kill()
        self._server.start()
        return "broker"

    def heal(self) -> None:
        """Nothing of the kind was seen."""

    def kept(self) -> dict[Place, int]:
        consumer = KafkaConsumer(
            bootstrap_servers=self._server.bootstrap_servers, enable_auto_commit=False,
            max_poll_records=20_000,
        )  # fmt: skip
        parts = [TopicPartition(self._topic, number) for number in range(PARTITIONS)]
        consumer.assign(parts)
        consumer.seek_to_beginning()
        ends, found = consumer.end_offsets(parts), dict[Place, int]()
        while any(consumer.position(part) < end for part, end in ends.items()):
            for part, records in consumer.poll(500).items():
                name = f"{part.topic}-{part.partition}"
                found |= {(name, record.offset): number_of(record.value) for record in records}
        consumer.close()
        return found

    def close(self) -> None:
        self._producer.close()
