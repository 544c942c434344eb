"""Nobody waits because PostgreSQL was away for a moment: no stream, nor all of them for a lost run."""

from contextlib import closing
from datetime import timedelta

import duckdb
import pytest
from dagster import DagsterInstance, DagsterRunStatus, job, op
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._core.test_utils import create_run_for_test
from sqlalchemy.exc import DBAPIError

from ingestion.declare.logs import open_log
from ingestion.declare.stream import Stream
from ingestion.errors import CatalogUnavailable, SourceUnavailable
from ingestion.land.session import LakeSession
from ingestion.settings import Settings
from orchestration.keys import STREAMS_TAG
from orchestration.run import land
from orchestration.sensors import lost_runs
from orchestration.sensors.backoff import Schedule
from orchestration.sensors.lost_runs import end_lost_runs
from orchestration.sensors.outcomes import review


@pytest.mark.parametrize(
    ("error", "paused"), [(CatalogUnavailable("away"), set()), (SourceUnavailable("away"), {"orders"})]
)
def test_a_catalog_that_was_away_is_no_streams_fault(error: Exception, paused: set[str]) -> None:
    @op
    def fails() -> None:
        raise error

    @job(name="refresh", tags={STREAMS_TAG: "orders"})
    def refresh() -> None:
        fails()

    with DagsterInstance.ephemeral() as instance:
        refresh.execute_in_process(instance=instance, raise_on_error=False)
        schedule, _ = review(instance, "refresh", Schedule())
    assert schedule.pauses.keys() == paused


@pytest.mark.parametrize(
    ("health", "ended"),
    [(WorkerStatus.NOT_FOUND, True), (WorkerStatus.FAILED, True), (WorkerStatus.RUNNING, False),
     (WorkerStatus.SUCCESS, False)],
)  # fmt: skip
def test_a_run_without_a_process_is_over(
    health: WorkerStatus, ended: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with DagsterInstance.ephemeral() as instance:
        run = create_run_for_test(instance, job_name="refresh", status=DagsterRunStatus.STARTING)
        kind = type(instance.run_launcher)
        monkeypatch.setattr(kind, "supports_check_run_worker_health", True, raising=False)
        monkeypatch.setattr(
            kind, "check_run_worker_health", lambda *_: CheckRunHealthResult(health), raising=False
        )
        assert end_lost_runs(instance, "refresh") == [], "it may be about to be launched"
        monkeypatch.setattr(lost_runs, "_GRACE", timedelta(0))
        assert end_lost_runs(instance, "another") == []
        assert end_lost_runs(instance, "refresh") == ([run.run_id] if ended else [])
        schedule, busy = review(instance, "refresh", Schedule())
    assert bool(busy) is not ended
    assert not schedule.pauses


@pytest.mark.parametrize("error", [duckdb.TransactionException, DBAPIError])
def test_a_database_that_goes_away_during_a_batch_is_no_defect(
    error: type[Exception], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ingest(*_: object, **__: object) -> None:
        lost = "server closed the connection unexpectedly"
        raise error(lost) if error is duckdb.TransactionException else DBAPIError(lost, None, OSError())

    monkeypatch.setattr(land, "_ingest", ingest)
    stream = Stream.model_validate({"name": "orders", "source": {"kafka": "orders"}})
    with closing(LakeSession(settings)) as session, pytest.raises(CatalogUnavailable, match="went away"):
        land.ingest_batch(session, DagsterInstance.ephemeral(), stream, open_log(stream, settings), run_id="")
