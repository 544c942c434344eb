"""Whether Dagster's own parts work, read from its storage: sensors, schedules, daemons, jobs, runs.

As in reader.py: plain SQL on the tables of the pinned dagster, and nothing is written.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from orchestration.records.failed_runs import cause_of, message_of
from orchestration.records.reader import DagsterRecords

_ACTIVE = ("QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING")


@dataclass(frozen=True)
class Instigator:
    """A sensor or schedule.

    Attributes:
        name: Its name.
        kind: sensor or schedule.
        off: Whether somebody switched it off.
        error: Why its newest finished tick failed; empty when it did not.
        ticked_at: When its newest tick began, UTC; None before the first.
    """

    name: str
    kind: str
    off: bool
    error: str
    ticked_at: datetime | None


@dataclass(frozen=True)
class FailedJob:
    """A job whose newest finished run failed: that run's id, the job, why, and when it ended (UTC)."""

    run_id: str
    job: str
    why: str
    ended_at: datetime | None


@dataclass(frozen=True)
class ActiveRun:
    """A run that has not ended: its id, job and status, and when something of it was last recorded (UTC)."""

    run_id: str
    job: str
    status: str
    heard_at: datetime


def instigators(records: DagsterRecords) -> list[Instigator]:
    """Every sensor and schedule that Dagster keeps a state of."""
    rows = records.query(
        "select i.instigator_type, i.status, i.instigator_body, "
        "(select t.timestamp from job_ticks t where t.selector_id = i.selector_id "
        "order by t.timestamp desc limit 1), "
        "(select case when t.status = 'FAILURE' then t.tick_body end from job_ticks t "
        "where t.selector_id = i.selector_id and t.status in ('SUCCESS', 'SKIPPED', 'FAILURE') "
        "order by t.timestamp desc limit 1) from instigators i order by i.id"
    )
    # A name may have had other selectors before; the newest is the one that is evaluated.
    found = {
        name: Instigator(name, kind.lower(), status == "STOPPED", _tick_error(failed), _utc(ticked))
        for kind, status, body, ticked, failed in rows
        if (name := _name(body))
    }
    return list(found.values())


def heartbeats(records: DagsterRecords) -> Mapping[str, datetime]:
    """Daemon, as in SENSOR → its newest sign of life, UTC."""
    rows = records.query("select daemon_type, timestamp from daemon_heartbeats")
    return {name: moment for name, stamp in rows if (moment := _utc(stamp)) is not None}


def failed_jobs(records: DagsterRecords) -> list[FailedJob]:
    """The jobs whose newest finished run failed."""
    rows = records.query(
        "select run_id, pipeline_name, end_time from (select distinct on (pipeline_name) run_id, "
        "pipeline_name, status, end_time from runs where status in ('SUCCESS', 'FAILURE', 'CANCELED') "
        "order by pipeline_name, id desc) as newest where status = 'FAILURE' order by pipeline_name"
    )
    return [FailedJob(run, job, _why_failed(records, run), _moment(end)) for run, job, end in rows]


def active_runs(records: DagsterRecords) -> list[ActiveRun]:
    """The runs that have not ended."""
    rows = records.query(
        "select r.run_id, r.pipeline_name, r.status, greatest(r.update_timestamp, "
        "(select max(e.timestamp) from event_logs e where e.run_id = r.run_id)) "
        "from runs r where r.status = any(%s) order by r.id",
        (list(_ACTIVE),),
    )
    return [
        ActiveRun(run, job, status, heard)
        for run, job, status, stamp in rows
        if (heard := _utc(stamp)) is not None
    ]


def _name(body: str | None) -> str:
    origin = _parsed(body).get("origin") or {}
    return str(origin.get("job_name") or origin.get("instigator_name") or "")


def _tick_error(body: str | None) -> str:
    data = _parsed(body)
    error = (data.get("tick_data") or data).get("error") or {}
    return (message_of(error) or "no reason was recorded") if error else ""


def _why_failed(records: DagsterRecords, run_id: str) -> str:
    rows = records.query(
        "select event from event_logs where run_id = %s and dagster_event_type in "
        "('STEP_FAILURE', 'PIPELINE_FAILURE') order by id",
        (run_id,),
    )
    events = [_parsed(event).get("dagster_event") or {} for (event,) in rows]
    return cause_of(events) or "Dagster has recorded no reason"


def _parsed(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _utc(stamp: datetime | None) -> datetime | None:
    """Dagster's time stamps are UTC; some columns know it and some do not."""
    if stamp is None:
        return None
    return stamp.replace(tzinfo=UTC) if stamp.tzinfo is None else stamp.astimezone(UTC)


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
