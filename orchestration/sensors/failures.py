"""Failed runs: each is logged. Without `millrace up`, whose supervisor posts alerts, it is posted too."""

from collections.abc import Callable

import structlog
from dagster import (
    DagsterEvent,
    DefaultSensorStatus,
    RunFailureSensorContext,
    SensorDefinition,
    run_failure_sensor,
)
from pydantic import SecretStr
from tenacity import Retrying, retry_if_result, stop_after_attempt, wait_exponential_jitter

from ingestion.data_folder import system_is_running
from ingestion.settings import Settings
from orchestration.conditions.webhook import post
from orchestration.keys import STREAMS_TAG

_log = structlog.get_logger(__name__)


def failures_sensor(settings: Callable[[], Settings]) -> SensorDefinition:
    """Build the sensor; settings are read when a run has failed."""

    @run_failure_sensor(
        name="failed_runs",
        default_status=DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=5,
        description="Logs every failed run; without millrace up, posts it to MILLRACE_ALERT_WEBHOOK_URL.",
    )
    def failed_runs(context: RunFailureSensorContext) -> None:
        run = context.dagster_run
        steps = context.get_step_failure_events()
        messages = [context.failure_event.message or "", *filter(None, map(_description, steps))]
        alert: dict[str, object] = {
            "run_id": run.run_id,
            "job": run.job_name,
            "streams": run.tags.get(STREAMS_TAG, ""),
            "error": _first_lines("\n".join(messages)),
            "steps": [event.step_key for event in steps],
        }
        _log.error("run failed", **alert)
        now = settings()
        # A running system posts conditions: a failed run is one, or a stream's or model's is.
        if now.alert_webhook_url is not None and not system_is_running(now.data_dir):
            post_alert(now.alert_webhook_url, {"event": "run_failed"} | alert)

    return failed_runs


def post_alert(url: SecretStr, alert: dict[str, object]) -> None:
    """Post an alert as JSON; three tries, a few seconds each.

    Args:
        url: http or https; never logged, because it may hold a token.
        alert: The JSON object to post.
    """
    tries = Retrying(
        stop=stop_after_attempt(3),
        wait=wait_exponential_jitter(multiplier=0.5, max=3),
        retry=retry_if_result(bool),
        retry_error_callback=lambda state: state.outcome.result() if state.outcome else "",
    )
    why = tries(post, url, alert)
    if why:
        _log.error("alert not posted", why=why)


def _description(event: DagsterEvent) -> str | None:
    """The description that an op gave with dagster.Failure; None after any other error."""
    failure = event.step_failure_data.user_failure_data
    return failure.description if failure else None


def _first_lines(message: str) -> str:
    return "\n".join(message.strip().splitlines()[:5])[:1000]
