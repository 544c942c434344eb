"""A run's door to the lake: one connection and one ingestor over it.

Opened on first use, or before the run comes (readiness.py).
"""

from ingestion.lake.lake import Lake
from ingestion.lake.sizes import TableSizes
from ingestion.land.batch import Ingestor
from ingestion.settings import Settings
from ingestion.telemetry.lineage import RunLineage
from ingestion.telemetry.run_trace import RunTrace
from ingestion.telemetry.spans import is_on


class LakeSession:
    """What the steps of one run share.

    Args:
        settings: Where things are.

    Attributes:
        lake: The run's lake connection.
        sizes: How large the lake's tables are.
        released: Stream → its newest batch, where no check holds that back from the models.
        lineage: What it says to a catalog that takes OpenLineage, where there is one.
        trace: What the run says of itself to an OpenTelemetry collector, where there is one.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.lake = Lake(settings)
        self.sizes = TableSizes(settings, application_name=f"{self.lake.application_name} sizes")
        self.released: dict[str, int] = {}
        self.trace = RunTrace(settings)
        self.lineage = RunLineage(settings)
        self._ingestor: Ingestor | None = None

    @property
    def ingestor(self) -> Ingestor:
        """Runs batches over the run's lake connection."""
        if self._ingestor is None:
            self._ingestor = Ingestor(self.lake, looks_for_producers=is_on(self.settings))
        return self._ingestor

    def open(self) -> int:
        """Open all of it, and ask the lake something.

        Returns:
            The lake's newest snapshot.

        Raises:
            MillraceError: The lake is not there.
        """
        snapshot, _ = self.lake.snapshot_id(), self.ingestor
        return snapshot

    def close(self) -> None:
        """Close its connections."""
        self.lake.close()
        self.sizes.close()
        self.trace.close()
        self.lineage.close()
