"""What Dagster has recorded about runs, assets and checks, read from its PostgreSQL storage with plain SQL.

For commands that must answer at once: Dagster's own API takes seconds to import. Nothing is written here.
The tables are those of the pinned dagster (dagster._core.storage.*.schema).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import psycopg2
from psycopg2 import extensions

from ingestion.errors import CatalogUnavailable
from ingestion.lake.catalog import no_catalog
from ingestion.lake.limits import limited
from ingestion.settings import Settings
from orchestration.conditions.kinds import CONDITIONS_ASSET
from orchestration.records.failed_runs import FailedRun, cause_of

STREAMS_TAG = "millrace/streams"  # as in keys.py, which imports Dagster
SENSOR_TAG = "dagster/sensor_name"
_WARNING, _NOTE = "only a warning: ", "note: "  # keys.WARNING, keys.NOTE
_MOST_VERSIONS = 500  # a check that fails with every cycle must not keep every version
Outcome = Literal["passed", "warned", "failed", "could_not_run", "running"]


@dataclass(frozen=True)
class RunRecord:
    """One run.

    Attributes:
        run_id: Dagster's id.
        job: The job's name.
        status: SUCCESS, FAILURE, STARTED …
        sensor: The sensor that asked for it; empty for a run that no sensor asked for.
        created_at: UTC.
        started_at: UTC, or None before the start.
        ended_at: UTC, or None before the end.
    """

    run_id: str
    job: str
    status: str
    sensor: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True)
class CheckRecord:
    """One execution of an asset check.

    Attributes:
        asset: Its key, with slashes.
        check: Its name.
        outcome: What came out.
        message: Why, if it did not pass.
        numbers: Its metadata that are numbers.
        checked_at: UTC.
        hourly: Whether the schedule runs it, and not every build.
    """

    asset: str
    check: str
    outcome: Outcome
    message: str
    numbers: Mapping[str, float]
    checked_at: datetime
    hourly: bool = False


@dataclass(frozen=True)
class AssetRecord:
    """An asset's last build."""

    asset: str
    built_at: datetime


class DagsterRecords:
    """A kept connection to Dagster's storage. Not for sharing between threads.

    Args:
        settings: Where the storage is.
        patience_seconds: How long an answer may take.
    """

    def __init__(self, settings: Settings, *, patience_seconds: float = 30.0) -> None:
        self._settings = settings
        self._patience_seconds = patience_seconds
        self._connection: extensions.connection | None = None

    def runs(self, *, since: datetime | None = None, limit: int = 20) -> list[RunRecord]:
        """The newest runs first; `since` (UTC) leaves older ones out."""
        rows = self.query(
            "select r.run_id, r.pipeline_name, r.status, coalesce(t.value, ''), r.create_timestamp, "
            "r.start_time, r.end_time from runs r "
            "left join run_tags t on t.run_id = r.run_id and t.key = %s "
            "where %s::timestamp is null or r.create_timestamp >= %s::timestamp "
            "order by r.id desc limit %s",
            (SENSOR_TAG, _naive(since), _naive(since), limit),
        )
        return [
            RunRecord(run_id, job, status, sensor, created.replace(tzinfo=UTC), _moment(start), _moment(end))
            for run_id, job, status, sensor, created, start, end in rows
        ]

    def latest_checks(self) -> list[CheckRecord]:
        """The last finished execution of every check."""
        return self._checks(
            "select distinct on (asset_key, check_name) asset_key, check_name, execution_status, "
            "evaluation_event, evaluation_event_timestamp from asset_check_executions "
            "where execution_status <> 'PLANNED' order by asset_key, check_name, id desc",
            (),
        )

    def checks_since(self, moment: datetime) -> list[CheckRecord]:
        """Every finished execution of a check since a moment (UTC)."""
        return self._checks(
            "select asset_key, check_name, execution_status, evaluation_event, evaluation_event_timestamp "
            "from asset_check_executions where execution_status <> 'PLANNED' "
            "and create_timestamp >= %s order by id",
            (_naive(moment),),
        )

    def failed_versions(self, *, since: datetime) -> frozenset[int]:
        """The versions of the lake in which a check failed, the newest 500: the SQL of its result reads them.

        Args:
            since: UTC.
        """
        failed = self._checks(
            "select asset_key, check_name, execution_status, evaluation_event, evaluation_event_timestamp "
            "from asset_check_executions where execution_status = 'FAILED' and create_timestamp >= %s "
            "and evaluation_event not like '%%AssetCheckSeverity.WARN%%' order by id desc limit %s",
            (_naive(since), _MOST_VERSIONS),
        )
        return frozenset(
            int(check.numbers["snapshot_id"]) for check in failed if "snapshot_id" in check.numbers
        )

    def run_ids(self, beginning: str) -> list[str]:
        """The ids of runs that begin so, two at most."""
        rows = self.query(
            "select run_id from runs where starts_with(run_id, %s) order by id desc limit 2", (beginning,)
        )
        return [run_id for (run_id,) in rows]

    def failures(self, *, since: datetime) -> list[FailedRun]:
        """The runs that failed or were cancelled since a moment (UTC), with causes, the oldest first."""
        runs = self.query(
            "select r.run_id, r.pipeline_name, r.status, coalesce(t.value, ''), r.start_time, r.end_time "
            "from runs r left join run_tags t on t.run_id = r.run_id and t.key = %s "
            "where r.status in ('FAILURE', 'CANCELED') and r.end_time >= %s order by r.end_time",
            (STREAMS_TAG, since.timestamp()),
        )
        events: dict[str, list[dict[str, Any]]] = {}
        for run_id, event in self.query(
            "select run_id, event from event_logs where run_id = any(%s) "
            "and dagster_event_type in ('STEP_FAILURE', 'PIPELINE_FAILURE') order by id",
            ([run[0] for run in runs],),
        ):
            events.setdefault(run_id, []).append(json.loads(event).get("dagster_event") or {})
        return [
            FailedRun(
                run_id, job, status, streams, end - start if start else 0.0,
                datetime.fromtimestamp(end, UTC), cause_of(events.get(run_id, ())),
            )
            for run_id, job, status, streams, start, end in runs
        ]  # fmt: skip

    def assets(self) -> list[AssetRecord]:
        """The last build of every asset that was built."""
        rows = self.query(
            # The column of that name moves with planned builds too, of a failing model with every try.
            "select asset_key, to_timestamp((last_materialization::json "
            "#>> '{event_log_entry,timestamp}')::float8) "
            "from asset_keys where last_materialization::json #>> '{event_log_entry,timestamp}' is not null "
            "order by asset_key",
            (),
        )
        return [AssetRecord(_asset(key), moment.astimezone(UTC)) for key, moment in rows]

    def close(self) -> None:
        """Close the connection; the next question opens a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _checks(self, sql: str, parameters: Sequence[object]) -> list[CheckRecord]:
        return [
            check_record(*row)
            for row in self.query(sql, parameters)
            if _asset(row[0]) != CONDITIONS_ASSET  # it repeats what others say
        ]

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Ask the storage with plain SQL; nothing while Dagster has not created its tables.

        Raises:
            CatalogUnavailable: It does not answer.
        """
        try:
            with self._open().cursor() as cursor:
                cursor.execute(sql, parameters)
                return cursor.fetchall()
        except psycopg2.errors.UndefinedTable:
            return []  # Dagster has not created its tables yet, so it has recorded nothing
        except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
            self.close()
            first = (str(error).strip().splitlines() or ["no answer"])[0]
            raise CatalogUnavailable(
                f"Dagster's storage cannot be reached ({first}): is it running, "
                "is MILLRACE_DAGSTER_CATALOG right?"
            ) from None

    def _open(self) -> extensions.connection:
        if self._connection is None:
            chosen = self._settings.dagster_catalog or self._settings.catalog
            if chosen is None:
                raise no_catalog(self._settings)
            self._connection = psycopg2.connect(
                limited(chosen.get_secret_value()),
                connect_timeout=min(5, max(2, int(self._patience_seconds))),
                application_name="millrace status",
                options=f"-c statement_timeout={self._patience_seconds * 1000:.0f}",
                # A network that swallows everything must not hold the reader for ever.
                tcp_user_timeout=int(self._patience_seconds * 1000),
            )
            self._connection.set_session(readonly=True, autocommit=True)
        return self._connection


def check_record(key: str, name: str, status: str, event: str | None, moment: datetime) -> CheckRecord:
    """A row of Dagster's asset_check_executions."""
    entry = json.loads(event) if event else {}
    evaluation = ((entry.get("dagster_event") or {}).get("event_specific_data")) or {}
    metadata = evaluation.get("metadata") or {}
    values = {name: value for name, value in metadata.items() if isinstance(value, dict)}
    return CheckRecord(
        _asset(key), name, *_outcome(status, evaluation, values), checked_at=moment.replace(tzinfo=UTC),
        hourly=values.get("runs", {}).get("text") == "hourly",  # keys.RUNS_METADATA
    )  # fmt: skip


def _asset(key: str) -> str:
    return "/".join(json.loads(key))


def _naive(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC).replace(tzinfo=None)


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _outcome(
    status: str, evaluation: Mapping[str, Any], values: Mapping[str, Mapping[str, Any]]
) -> tuple[Outcome, str, dict[str, float]]:
    """Outcome, message and numbers of a recorded evaluation; a warning is a failure of lower severity."""
    numbers = {
        name: float(value["value"])
        for name, value in values.items()
        if isinstance(value.get("value"), int | float)
    }
    message = (evaluation.get("description") or "").removeprefix(_WARNING)
    if status == "SUCCEEDED":
        return "passed", message.removeprefix(_NOTE) if message.startswith(_NOTE) else "", numbers
    if values.get("outcome", {}).get("text") == "could_not_run":
        return "could_not_run", message, numbers
    severity = str((evaluation.get("severity") or {}).get("__enum__", ""))
    return ("warned" if severity.endswith("WARN") else "failed"), message, numbers
