"""The job `replay`, and the runs of `refresh` that follow a replay or a retry of rejects.

What a replay is, is in ingestion/land/replay.py and docs/decisions/007; `millrace replay` does the same.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from dagster import (
    Config,
    DagsterInstance,
    DagsterRunStatus,
    Failure,
    JobDefinition,
    OpExecutionContext,
    RunRequest,
    RunsFilter,
    in_process_executor,
    job,
    op,
)
from pydantic import Field

from ingestion.declare.decoding import decoder_of
from ingestion.declare.logs import open_log
from ingestion.declare.stream import Stream
from ingestion.errors import MillraceError
from ingestion.land.replay import parse_bound, replay
from ingestion.land.session import LakeSession
from orchestration.assets.models import MODELS_OP
from orchestration.jobs.refresh import Job
from orchestration.keys import REPAIR_TAG, REPLAY_JOB
from orchestration.run.plan import RefreshPlan, Repairs


class ReplayConfig(Config):
    """Which window of which stream.

    Attributes:
        stream: Of which stream.
        since: Where it begins; empty: at the beginning.
        until: Where it ends, itself no part of it; empty: where the lake ends.
    """

    stream: str = Field(description="The stream's name.")
    since: str = Field(
        default="", description="A position, as in orders-0@17, or a time (UTC); empty: from the beginning."
    )
    until: str = Field(default="", description="End of the window (exclusive): a position or a time (UTC).")


def replay_job(streams: Sequence[Stream]) -> JobDefinition:
    """Build the job.

    Args:
        streams: The declared streams.
    """
    declared = {stream.name: stream for stream in streams}

    @op(
        required_resource_keys={"lake_session"},
        description="Lands the events of a window that the lake does not hold.",
    )
    def compare_and_land(context: OpExecutionContext, config: ReplayConfig) -> None:
        if config.stream not in declared:
            raise Failure(f"stream '{config.stream}' is not declared; declared are {', '.join(declared)}")
        session: LakeSession = context.resources.lake_session
        session.lake.prepare(declared)
        log = open_log(declared[config.stream], session.settings)
        try:
            first, last = parse_bound(config.since), parse_bound(config.until)
            report = replay(
                session.lake,
                config.stream,
                log=log,
                decode=decoder_of(declared[config.stream], session.settings),
                since=first,
                until=last,
            )
        except MillraceError as error:
            raise Failure(str(error)) from error
        finally:
            log.close()
        context.add_output_metadata(
            {
                "stream": report.stream,
                "batch_ids": ", ".join(map(str, report.batch_ids)),
                "in_broker": sum(each.in_broker for each in report.partitions),
                "in_raw": sum(each.in_raw for each in report.partitions),
                "landed": report.landed,
                "rejected": sum(each.undecodable for each in report.partitions),
                "warning": report.warning,
            }
        )

    @job(
        name=REPLAY_JOB,
        executor_def=in_process_executor,
        description="Land the events of a window that the lake does not hold; a run of 'refresh' then "
        "rebuilds the models.",
    )
    def replay_events() -> None:
        compare_and_land()

    return replay_events


def repairs(jobs: Sequence[Job], plan: RefreshPlan) -> Repairs:
    """What the arrivals sensor asks for repairs: what they landed must reach the models without a new event.

    Args:
        jobs: The jobs that repair; the config of their only op names the stream.
        plan: What to build for a stream.
    """

    def oldest(instance: DagsterInstance, after: str) -> RunRequest | None:
        since, good = datetime.fromisoformat(after), [DagsterRunStatus.SUCCESS]
        done = [
            record
            for each in jobs
            for record in instance.get_run_records(
                RunsFilter(job_name=each.name, statuses=good, updated_after=since)
            )
        ]
        if not done:
            return None
        first = min(done, key=lambda record: record.update_timestamp)
        run, ended = first.dagster_run, first.update_timestamp.isoformat()
        return repair_request(run.job_name, run.run_config, plan, ended=ended)

    return oldest


def repair_request(
    job_name: str, run_config: Mapping[str, Any], plan: RefreshPlan, *, ended: str
) -> RunRequest:
    """The run that builds a stream's models after a repair; after a replay it rebuilds them from all of raw.

    Args:
        job_name: The repair's job.
        run_config: The repair's, which names the stream.
        plan: What to build for a stream.
        ended: When the repair ended (ISO).
    """
    ops: Mapping[str, Any] = run_config["ops"]
    (config,) = (each["config"] for each in ops.values())
    request = plan.request([config["stream"]], built=plan.fingerprint)
    rebuilds = job_name == REPLAY_JOB and bool(plan.models)
    full = {"ops": {MODELS_OP: {"config": {"full_refresh": True}}}} if rebuilds else {}
    return RunRequest(
        run_config=full,
        tags={**request.tags, REPAIR_TAG: ended},
        asset_selection=request.asset_selection,
        asset_check_keys=request.asset_check_keys,
    )
