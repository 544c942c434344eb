"""What does not work according to Dagster's storage: sensors, the daemon, jobs, runs, checks."""

from collections.abc import Callable, Iterable, Iterator, Set
from datetime import datetime, timedelta
from pathlib import Path

from orchestration.conditions.condition import Finding
from orchestration.conditions.pulse import feel
from orchestration.keys import ARRIVALS_SENSOR
from orchestration.observe.budgets import Budgets
from orchestration.records.health import active_runs, failed_jobs, heartbeats, instigators
from orchestration.records.reader import CheckRecord, DagsterRecords

Age = Callable[[datetime], timedelta]
KINDS = ("sensor_off", "sensor_failing", "job_failing", "run_stuck", "check_failing", "budget_broken")
"""The kinds that this looks for."""

_HEARTBEAT = timedelta(seconds=120)  # the daemon's own rhythm is 30 s
_TICK = timedelta(seconds=120)  # it takes ten seconds, and some for each broker that is away
_STARTING = timedelta(seconds=120)
_SILENT = timedelta(minutes=15)
_REMEMBERED = timedelta(hours=24)  # a job that is run by hand may have no later run
_LOOKED_AFTER = "refresh"  # its failures are streams' and models', which the sensor reports by name


def look(
    records: DagsterRecords, *, checks: Set[tuple[str, str]] | None, age: Age, budgets: Budgets | None = None
) -> list[Finding]:
    """Everything that is wrong.

    Args:
        records: The storage.
        checks: The checks that there are, as asset and name; None when that is unknown. Dagster remembers
            results of checks that are gone.
        age: How long ago something was stamped.
        budgets: Knows which marts have been late for long; None leaves them out.

    Raises:
        CatalogUnavailable: The storage does not answer.
    """
    known = [each for each in records.latest_checks() if checks is None or (each.asset, each.check) in checks]
    late = budgets.look(known, age=age) if budgets is not None else ()
    return [*_instigators(records), *_jobs(records, age), *_runs(records, age), *_checks(known), *late]


def silent_daemon(records: DagsterRecords, *, within: timedelta, age: Age) -> Finding | None:
    """The daemon, if it evaluates no sensor although its process lives.

    Args:
        records: The storage.
        within: For how long it could have.
        age: How long ago something was stamped.

    Raises:
        CatalogUnavailable: The storage does not answer.
    """
    heard = heartbeats(records).get("SENSOR")
    silent = age(heard) if heard is not None else within
    # Its loop may go round while the threads that evaluate sensors hang.
    ticks = [each.ticked_at for each in instigators(records) if each.kind == "sensor" and not each.off]
    idle = min((age(moment) for moment in ticks if moment is not None), default=timedelta(0))
    if min(max(silent, idle), within) <= _HEARTBEAT:
        return None
    return Finding(
        "service_stuck", "daemon",
        f"daemon has evaluated no sensor for more than {_minutes(_HEARTBEAT)}: nothing starts runs",
        "It is ended and started again by itself; its log may say why.",
    )  # fmt: skip


def hanging_tick(data_dir: Path, *, within: timedelta) -> Finding | None:
    """The code server, if the sensor that brings events in hangs in it.

    Args:
        data_dir: The data folder.
        within: For how long its tick could have ended.
    """
    pulse = feel(data_dir, ARRIVALS_SENSOR)
    if pulse is None or not pulse.doing:
        return None
    hangs = min(timedelta(seconds=pulse.seconds), within)
    if hangs <= _TICK:
        return None
    return Finding(
        "service_stuck", "code-server",
        f"a tick of the sensor '{ARRIVALS_SENSOR}' in code-server has not ended for more than "
        f"{_minutes(_TICK)}: nothing starts runs",
        "code-server is ended and started again by itself; its log may say why.",
    )  # fmt: skip


def _instigators(records: DagsterRecords) -> Iterator[Finding]:
    for each in instigators(records):
        if each.off:
            yield Finding(
                "sensor_off", each.name,
                f"the {each.kind} '{each.name}' was switched off{_effect(each.name)}",
                "Switch it on in the web UI, under Automation.",
            )  # fmt: skip
        elif each.error:
            yield Finding(
                "sensor_failing", each.name, f"the {each.kind} '{each.name}' fails: {each.error}",
                "It is evaluated again by itself; its ticks in the web UI, under Automation, have the trace.",
            )  # fmt: skip


def _effect(name: str) -> str:
    return {"arrivals": ": no event is brought into the lake by itself"}.get(name, "")


def _jobs(records: DagsterRecords, age: Age) -> Iterator[Finding]:
    for run in failed_jobs(records):
        if run.job != _LOOKED_AFTER and run.ended_at is not None and age(run.ended_at) < _REMEMBERED:
            what = "run that was started by hand" if run.job.startswith("__") else f"run of job '{run.job}'"
            yield Finding(
                "job_failing", run.job, f"the last {what} failed: {run.why}",
                f"Run {run.run_id[:8]} in the web UI has the rest; a run that succeeds ends this.",
            )  # fmt: skip


def _runs(records: DagsterRecords, age: Age) -> Iterator[Finding]:
    for run in active_runs(records):
        patience = _SILENT if run.status == "STARTED" else _STARTING
        if age(run.heard_at) > patience:
            yield Finding(
                "run_stuck", run.run_id[:8],
                f"run {run.run_id[:8]} of job '{run.job}' ({run.status.lower().replace('_', ' ')}) has "
                f"recorded nothing for more than {_minutes(patience)}",
                "Look at it in the web UI; 'Terminate' there ends it, and nothing committed is lost.",
            )  # fmt: skip


def _checks(known: Iterable[CheckRecord]) -> Iterator[Finding]:
    for check in known:
        if check.outcome in ("failed", "could_not_run"):
            verb = "failed" if check.outcome == "failed" else "could not run"
            reason = f": {check.message.strip().splitlines()[0]}" if check.message.strip() else ""
            yield Finding(
                "check_failing", f"{check.asset} {check.check}",
                f"check '{check.check}' of {check.asset} {verb}{reason}",
                "The check in the web UI has the measured value and SQL for the rows.",
            )  # fmt: skip


def _minutes(span: timedelta) -> str:
    return f"{span.total_seconds() / 60:.0f} min"
