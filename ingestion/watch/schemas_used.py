"""Which schemas of a registry a stream's values were written with, and since when: from the ledger.

What changed from one to the next: evolution.py.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import duckdb

from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake

_BATCHES = """
select schemas, min(ingested_at), max(ingested_at), max(batch_id)
from raw.batches
where stream = $stream and batch_id > $since and schemas is not null
group by schemas
"""


@dataclass(frozen=True)
class SchemaUse:
    """A schema in a stream.

    Attributes:
        name: Its number, or its GUID.
        first_at: When the first batch with it was read, UTC.
        last_at: When the newest batch with it was read, UTC.
    """

    name: str
    first_at: datetime
    last_at: datetime


class SchemasUsed:
    """Reads the ledger again and again, each time only what is new in it."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, SchemaUse]] = {}
        self._read_to: dict[str, int] = {}

    def look(self, lake: Lake, streams: Iterable[Stream]) -> Mapping[str, tuple[SchemaUse, ...]]:
        """Stream → its schemas, in the order in which they came; of those whose values name some.

        Args:
            lake: The lake; of an earlier release, too, whose ledger does not know it.
            streams: The declared ones.

        Raises:
            duckdb.Error: The lake cannot be read.
        """
        found = {}
        for stream in streams:
            if stream.format.options.names_schemas:
                self._read(lake, stream.name)
                uses = self._known.get(stream.name, {})
                found[stream.name] = tuple(sorted(uses.values(), key=lambda each: each.first_at))
        return found

    def _read(self, lake: Lake, stream: str) -> None:
        uses = self._known.setdefault(stream, {})
        asked = {"stream": stream, "since": self._read_to.get(stream, 0)}
        try:
            rows = lake.connection.execute(_BATCHES, asked).fetchall()
        except (duckdb.BinderException, duckdb.CatalogException):
            return
        for schemas, first_at, last_at, batch_id in rows:
            self._read_to[stream] = max(self._read_to.get(stream, 0), batch_id)
            for name in json.loads(schemas):
                before = uses.get(name)
                uses[name] = SchemaUse(
                    name,
                    min(first_at, before.first_at) if before else first_at,
                    max(last_at, before.last_at) if before else last_at,
                )
