"""The connections that a waiting worker has open before its run comes: the lake's and dbt's.

Opening them and dbt's first command take a second, which a run for one event would spend before its models.
If a server was restarted meanwhile, they no longer work, and the run opens new ones.
"""

from contextlib import suppress

import duckdb

from ingestion.declare.file import declared_streams
from ingestion.errors import MillraceError
from ingestion.land.session import LakeSession
from ingestion.settings import Settings
from orchestration.dbt import runner
from orchestration.dbt.project import dbt_project
from orchestration.dbt.results import DbtFailed

_ready: LakeSession | None = None


def make_ready(settings: Settings) -> None:
    """Open the lake, and let dbt compile a model on it; a run lands without dbt too.

    Raises:
        MillraceError: The lake cannot be opened.
    """
    global _ready
    session = LakeSession(settings)
    session.open()
    streams = declared_streams(settings)
    if streams:
        with suppress(DbtFailed):
            runner.connect(dbt_project(settings), f"stg_{streams[0].name}")
    _ready = session


def take(settings: Settings) -> LakeSession | None:
    """The session that was opened for these settings, if it still works; it is returned once."""
    global _ready
    session, _ready = _ready, None
    if session is None:
        return None
    if session.settings == settings:
        with suppress(MillraceError, duckdb.Error):
            session.open()
            return session
    session.close()
    runner.disconnect()
    return None
