"""What runs share: the settings, and one lake connection per run.

Opened on first use, so that definitions load, and other runs go, without a lake.
"""

from collections.abc import Callable, Iterator

from dagster import InitResourceContext, ResourceDefinition, resource

from ingestion.batch import Ingestor
from ingestion.lake import Lake
from ingestion.settings import Settings, load_settings


class LakeSession:
    """A run's door to the lake.

    Args:
        settings: Where things are.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.lake = Lake(settings)
        self._ingestor: Ingestor | None = None

    @property
    def ingestor(self) -> Ingestor:
        """Runs batches over the run's lake connection."""
        if self._ingestor is None:
            self._ingestor = Ingestor(self.lake)
        return self._ingestor


def lake_session(settings: Callable[[], Settings] = load_settings) -> ResourceDefinition:
    """The resource `lake_session`; settings are read when a run starts, not when code loads."""

    @resource(description="Settings and the lake connection of one run.")
    def open_session(_context: InitResourceContext) -> Iterator[LakeSession]:
        session = LakeSession(settings())
        try:
            yield session
        finally:
            session.lake.close()

    return open_session
