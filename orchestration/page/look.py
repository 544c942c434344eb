"""What the page shows of the system at one moment: one version of the lake for all tiles.

It is read by the functions that `millrace status` uses; when it is read, reader.py says.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

import duckdb

from ingestion.errors import MillraceError
from ingestion.lake.contents import asked_of_catalog
from ingestion.lake.lake import Lake
from ingestion.lake.versions import METADATA_SCHEMA
from ingestion.serve.moments import Moments, by_stream
from ingestion.serve.shelf import Mart, served_marts, shown_batches
from ingestion.settings import Settings
from orchestration.records.overview import Overview, OverviewReader

_COMMITTED = (
    "select snapshot_time::timestamptz at time zone 'UTC' "
    f"from {METADATA_SCHEMA}.ducklake_snapshot where snapshot_id = {{version}}"
)


@dataclass(frozen=True)
class Version:
    """A version of the lake.

    Attributes:
        number: DuckLake's id of its snapshot.
        committed_at: UTC.
    """

    number: int
    committed_at: datetime | None


@dataclass(frozen=True)
class Reach:
    """How far a mart follows its streams in this version.

    Attributes:
        fresh_to: Stream → the time of its newest event in the mart.
        complete_to: Stream → everything until then is in the mart.
    """

    fresh_to: Mapping[str, datetime] = field(default_factory=dict)
    complete_to: Mapping[str, datetime] = field(default_factory=dict)

    @property
    def fresh(self) -> datetime | None:
        """Of the stream whose newest event is the oldest."""
        return min(self.fresh_to.values(), default=None)

    @property
    def complete(self) -> datetime | None:
        """Of the stream that is furthest from complete."""
        return min(self.complete_to.values(), default=None)


@dataclass(frozen=True)
class Look:
    """Everything at one moment.

    Attributes:
        at: UTC.
        overview: As `millrace status` shows it.
        version: Of the lake; None where it cannot be read.
        rates: Stream → events a second that are landed.
        marts: The marts that the lake serves, by name.
        reaches: Mart → how far it follows its streams.
    """

    at: datetime
    overview: Overview
    version: Version | None = None
    rates: Mapping[str, float] = field(default_factory=dict)
    marts: Mapping[str, Mart] = field(default_factory=dict)
    reaches: Mapping[str, Reach] = field(default_factory=dict)


def read_look(settings: Settings, reader: OverviewReader, known: Moments) -> Look:
    """Look at everything; whatever is away is an error in the overview.

    Args:
        settings: Where everything is.
        reader: In a transaction of the lake, if that can be read.
        known: Of the looks before.
    """
    overview = reader.read()
    version, marts = None, served_marts(settings.data_dir)
    reaches: dict[str, Reach] = {}
    with suppress(MillraceError, duckdb.Error):
        version = read_version(reader.lake)
        reaches = read_reaches(
            reader.lake, marts, shown_batches(settings.data_dir), version.number, known=known
        )
    return Look(datetime.now(UTC), overview, version, marts=marts, reaches=reaches)


def read_version(lake: Lake) -> Version:
    """The version that this connection reads now.

    Raises:
        MillraceError: The catalog does not answer.
        duckdb.Error: The lake cannot be read.
    """
    number = lake.snapshot_id()
    rows = lake.query(asked_of_catalog(_COMMITTED.format(version=number)))
    return Version(number, rows[0][0].replace(tzinfo=UTC) if rows else None)


def read_reaches(
    lake: Lake,
    marts: Mapping[str, Mart],
    shown: Mapping[str, Mapping[str, int]],
    version: int,
    *,
    known: Moments,
) -> dict[str, Reach]:
    """Of each mart.

    Args:
        lake: Where the batches are.
        marts: By name.
        shown: Mart → stream → the newest batch that it has.
        version: Of the lake.
        known: What was read before; only the others are asked about, all at once.
    """
    batches = {name: shown.get(name, {}) for name in marts}
    pairs = {pair for each in batches.values() for pair in each.items()}
    found = known.of(lake, pairs, version=version)
    return {name: Reach(*by_stream(found, each)) for name, each in batches.items()}
