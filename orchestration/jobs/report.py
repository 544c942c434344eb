"""The job `report`: a page on what happened in the last days, into the data folder.

What is in it, and `millrace report`: orchestration/report. Its schedule is off unless a setting names one.
"""

from collections.abc import Callable, Sequence

from dagster import (
    DefaultScheduleStatus,
    JobDefinition,
    MetadataValue,
    OpExecutionContext,
    ScheduleDefinition,
    in_process_executor,
    job,
    op,
)
from dagster._utils.schedules import is_valid_cron_schedule

from ingestion.declare.stream import Stream
from ingestion.settings import Settings
from orchestration.jobs.refresh import Job
from orchestration.keys import REPORT_JOB


def report_job(streams: Sequence[Stream], settings: Callable[[], Settings]) -> JobDefinition:
    """Build the job.

    Args:
        streams: The declared streams.
        settings: Read when a run starts.
    """

    @op(description="Writes reports/report-….html of the data folder; the newest 30 stay.")
    def write_report(context: OpExecutionContext) -> None:
        from orchestration.report.write import write_report as write

        file, content = write(settings(), streams)
        for sentence in content.missing:
            context.log.warning(f"not in the report: {sentence}")
        context.add_output_metadata(
            {
                "file": MetadataValue.path(str(file)),
                "bytes": file.stat().st_size,
                "missing": len(content.missing),
            }
        )

    @job(
        name=REPORT_JOB,
        executor_def=in_process_executor,
        description="A page on what happened in the last days.",
    )
    def report() -> None:
        write_report()

    return report


def report_schedules(job: Job, cron: str) -> tuple[list[ScheduleDefinition], list[str]]:
    """The schedule, where one is named. A wrong one is a sentence, since nothing else may fail for it.

    Args:
        job: The job.
        cron: As in `0 6 * * *`, UTC; empty for none.
    """
    if not cron:
        return [], []
    if not is_valid_cron_schedule(cron):
        wrong = (
            f"MILLRACE_REPORT_SCHEDULE: '{cron}' is not a cron schedule, so no report is made by itself; "
            "write five fields, as in '0 6 * * *' for 06:00 UTC every day, into the environment or .env"
        )
        return [], [wrong]
    schedule = ScheduleDefinition(
        name="regular_report",
        job=job,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=DefaultScheduleStatus.RUNNING,
    )
    return [schedule], []
