"""Messages of a stream → rows of SOURCE_SCHEMA."""

from typing import Any

import pyarrow as pa

from ingestion.connectors.rabbitmq.message import headers_of, key_of, sent_at
from ingestion.connectors.rabbitmq.stream_channel import Read
from ingestion.log.envelope import SOURCE_SCHEMA

CHUNK_BYTES = 16 * 2**20
_ROW_BYTES = 500
"""What a message without content takes while it is collected, about."""


class Rows:
    """Collects messages of one partition.

    Args:
        partition: Its name.

    Attributes:
        size: Bytes that they take, about.
    """

    def __init__(self, partition: str) -> None:
        self._partition = partition
        self._columns: tuple[list[Any], ...] = ([], [], [], [], [])
        self.size = 0

    def add(self, message: Read) -> None:
        """Add a message."""
        row = (
            message.offset,
            key_of(message.method.routing_key),
            message.body,
            headers_of(message.properties, exchange=message.method.exchange),
            sent_at(message.properties),
        )
        for column, value in zip(self._columns, row, strict=True):
            column.append(value)
        self.size += _ROW_BYTES + len(message.body)

    def table(self) -> pa.Table:
        """Rows of SOURCE_SCHEMA, in the order in which they were added."""
        partition = [self._partition] * len(self._columns[0])
        columns = (partition, *self._columns)
        return pa.table(
            [pa.array(column, field.type) for column, field in zip(columns, SOURCE_SCHEMA, strict=True)],
            schema=SOURCE_SCHEMA,
        )
