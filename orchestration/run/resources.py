"""What runs share: the settings, and one lake connection per run.

Opened on first use, so that definitions load, and other runs go, without a lake.
"""

from collections.abc import Callable, Iterator

from dagster import InitResourceContext, ResourceDefinition, resource

from ingestion.land.session import LakeSession
from ingestion.settings import Settings, load_settings
from orchestration.run import readiness


def lake_session(settings: Callable[[], Settings] = load_settings) -> ResourceDefinition:
    """The resource `lake_session`; settings are read when a run starts, not when code loads."""

    @resource(description="Settings and the lake connection of one run.")
    def open_session(_context: InitResourceContext) -> Iterator[LakeSession]:
        wanted = settings()
        session = readiness.take(wanted) or LakeSession(wanted)
        try:
            yield session
        finally:
            session.close()

    return open_session
