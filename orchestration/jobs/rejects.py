"""The job `retry_rejects`: decode kept bytes again, from the web UI.

What a retry is, is in ingestion/land/resolutions.py; `millrace rejects retry` does the same.
"""

from collections.abc import Sequence

from dagster import Config, Failure, JobDefinition, OpExecutionContext, in_process_executor, job, op
from pydantic import Field

from ingestion.declare.decoding import decoder_of
from ingestion.declare.stream import Stream
from ingestion.errors import MillraceError
from ingestion.formats.decode import reasons
from ingestion.land.resolutions import retry
from ingestion.land.session import LakeSession
from orchestration.keys import RETRY_JOB


class RetryConfig(Config):
    """Which rejects.

    Attributes:
        stream: Of which stream.
        reason: With this reason only; empty: any.
        event_ids: Only these; empty: all.
    """

    stream: str = Field(description="The stream's name.")
    reason: str = Field(default="", description=f"One of {', '.join(sorted(reasons()))}; empty: any reason.")
    event_ids: list[str] = Field(default=[], description="As in orders-0@17; empty: all open rejects.")


def retry_job(streams: Sequence[Stream]) -> JobDefinition:
    """Build the job.

    Args:
        streams: The declared streams.
    """
    declared = {stream.name: stream for stream in streams}

    @op(required_resource_keys={"lake_session"}, description="Lands the rejects that decode now.")
    def decode_again(context: OpExecutionContext, config: RetryConfig) -> None:
        if config.stream not in declared:
            raise Failure(f"stream '{config.stream}' is not declared; declared are {', '.join(declared)}")
        session: LakeSession = context.resources.lake_session
        session.lake.prepare(declared)
        try:
            report = retry(
                session.lake,
                config.stream,
                decode=decoder_of(declared[config.stream], session.settings),
                event_ids=config.event_ids,
                reason=config.reason or None,
            )
        except MillraceError as error:
            raise Failure(str(error)) from error
        context.add_output_metadata(
            {
                "stream": report.stream,
                "batch_ids": ", ".join(map(str, report.batch_ids)),
                "landed": report.landed,
                "still_rejected": report.still_rejected,
                "not_kept": report.not_kept,
            }
        )

    @job(
        name=RETRY_JOB,
        executor_def=in_process_executor,
        description="Decode rejects again; a run of 'refresh' then builds the models with what landed.",
    )
    def retry_rejects() -> None:
        decode_again()

    return retry_rejects
