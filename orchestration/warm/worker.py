"""What a forked child does: execute one run, or record the end of a run whose process died.

The same steps as Dagster's own `dagster api execute_run`, in the interpreter at hand. See forking.py.
"""

from __future__ import annotations

from collections.abc import Mapping

from dagster import DagsterInstance, DagsterRunStatus
from dagster._cli.api import _execute_run_command_body
from dagster._cli.utils import get_instance_for_cli
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import deserialize_value
from dagster._utils.interrupts import capture_interrupts

# User code can exit with any code, 0 included: only these two mean that the run was executed to its end.
DONE = 86
DONE_WITH_FAILURE = 87


def execute(run_args: str) -> int:
    """Execute one run in this process.

    Args:
        run_args: a serialized ``ExecuteRunArgs``; the job is loaded from the origin stored with the run.

    Returns:
        DONE or DONE_WITH_FAILURE; both mean that Dagster knows how the run ended.
    """
    with capture_interrupts():
        args = deserialize_value(run_args, ExecuteRunArgs)
        with get_instance_for_cli(instance_ref=args.instance_ref) as instance:
            run = instance.get_run_by_id(args.run_id)
            if run is not None and run.status == DagsterRunStatus.CANCELING:
                instance.report_run_canceled(run, "Canceled before the run began.")
                return DONE
            code = _execute_run_command_body(
                args.run_id, instance, lambda _event: None, set_exit_code_on_failure=True
            )
    return DONE if code == 0 else DONE_WITH_FAILURE


def record_end(run_args: str, reason: str, *, tags: Mapping[str, str] | None = None) -> int:
    """Record that a run is over because its process ended, unless Dagster has recorded its end.

    Args:
        run_args: the serialized ``ExecuteRunArgs`` the run was launched with.
        reason: a sentence for the run's page.
        tags: what to write to it besides.

    Returns:
        0, an exit code.
    """
    args = deserialize_value(run_args, ExecuteRunArgs)
    if args.instance_ref is None:
        raise ValueError(
            f"run {args.run_id} came without an instance reference, so its end cannot be recorded"
        )
    with DagsterInstance.from_ref(args.instance_ref) as instance:
        run = instance.get_run_by_id(args.run_id)
        if run is None or run.is_finished:
            return 0
        if tags:
            instance.add_run_tags(run.run_id, dict(tags))
        if run.status == DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run, reason)
        else:
            instance.report_run_failed(run, reason)
    return 0
