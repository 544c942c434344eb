"""Why a run that goes on ends before its time: an edit of the project, a repair that waits for a run."""

import time
from datetime import UTC, datetime

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

from ingestion.settings import Settings
from orchestration.fingerprint import of_project
from orchestration.keys import REPLAY_JOB, RETRY_JOB

_EDITED_SECONDS = 2.0
"""How often edits are looked for: a look goes through every file of the code and the project."""
_REPAIRED_SECONDS = 5.0


class Edits:
    """Whether the project's files are as a run was planned for, looked at now and then.

    Args:
        settings: Say where the files are.
        code: Their state when the run was asked for (fingerprint.of_project).
    """

    def __init__(self, settings: Settings, code: str) -> None:
        self._settings, self._code = settings, code
        self._looked_at = float("-inf")
        self._unchanged = True

    def unchanged(self) -> bool:
        """Once it is False it stays so."""
        if self._unchanged and time.monotonic() >= self._looked_at + _EDITED_SECONDS:
            self._unchanged = of_project(self._settings) == self._code
            self._looked_at = time.monotonic()
        return self._unchanged


class Repairs:
    """Whether a replay or a retry of rejects has ended since a run was asked for: its models wait for a run.

    Args:
        instance: Dagster's.
        run_id: The run's.
    """

    def __init__(self, instance: DagsterInstance, run_id: str) -> None:
        record = instance.get_run_record_by_id(run_id)
        self._since = record.create_timestamp if record else datetime.now(UTC)
        self._instance = instance
        self._looked_at = float("-inf")

    def none(self) -> bool:
        """Whether there is none, as of a look some seconds ago at the most."""
        if time.monotonic() < self._looked_at + _REPAIRED_SECONDS:
            return True
        self._looked_at = time.monotonic()
        return not any(
            self._instance.get_run_records(
                RunsFilter(job_name=job, statuses=[DagsterRunStatus.SUCCESS], updated_after=self._since),
                limit=1,
            )
            for job in (RETRY_JOB, REPLAY_JOB)
        )
