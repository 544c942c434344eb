"""Dagster's run launcher that hands a run to the warm process instead of starting an interpreter.

No heavy import: the web server and the daemon load this. How the run is executed is in orchestration/warm.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from dagster import DagsterRun, RunsFilter, StringSource
from dagster._config.config_schema import UserConfigSchema
from dagster._core.launcher.base import CheckRunHealthResult, LaunchRunContext, RunLauncher, WorkerStatus
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import ConfigurableClass, serialize_value
from dagster._serdes.config_class import ConfigurableClassData

from orchestration.warm import protocol

ONCE_TAG = "millrace/alert"
"""Of runs with the same value only the first is executed: a launch that seemed lost may come late."""
_LAUNCH_SECONDS = 90.0  # a launch that follows an edit waits for the code to load
_ASK_SECONDS = 10.0
_STATES = {
    "running": WorkerStatus.RUNNING,
    "finished": WorkerStatus.SUCCESS,
    "died": WorkerStatus.FAILED,
    "unknown": WorkerStatus.NOT_FOUND,
}


class WarmRunLauncher(RunLauncher[Any], ConfigurableClass):
    """Launch each run as a fork of the warm process.

    In dagster.yaml: ``{module: orchestration.warm.launcher, class: …, config: {socket_path: …}}``.

    Args:
        socket_path: the Unix socket of the warm process.
        inst_data: Dagster's record of this configuration.
    """

    def __init__(
        self,
        socket_path: str,
        *,
        inst_data: ConfigurableClassData | None = None,
    ) -> None:
        self._socket_path = Path(socket_path)
        self._inst_data = inst_data
        super().__init__()  # type: ignore[no-untyped-call]

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """Dagster's record of this configuration."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """The keys allowed below ``config`` in dagster.yaml."""
        return {"socket_path": StringSource}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Self:
        """Build from the checked configuration."""
        return cls(inst_data=inst_data, **config_value)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Start the run's process.

        Raises:
            WarmProcessAway: nobody listens on the socket.
            WarmProcessBusy: no answer in time.
            WarmProcessRefused: the code does not load, or the run already has a process.
        """
        run = context.dagster_run
        if (first := self._one_before(run)) is not None:
            self._instance.report_run_canceled(run, f"Run {first} is there for the same alert.")
            return
        origin = run.job_code_origin
        if origin is None:
            raise ValueError(
                f"Run {run.run_id} has no code origin, so its job cannot be loaded: launch it again."
            )
        args = ExecuteRunArgs(
            job_origin=origin,
            run_id=run.run_id,
            instance_ref=self._instance.get_ref(),
            set_exit_code_on_failure=True,
        )
        answer = protocol.call(
            self._socket_path,
            {"op": "launch", "run_id": run.run_id, "run_args": serialize_value(args)},
            timeout_s=_LAUNCH_SECONDS,
        )
        self._instance.report_engine_event(
            f"Forked a process for the run (pid: {answer['pid']}).", run, cls=self.__class__
        )

    def _one_before(self, run: DagsterRun) -> str | None:
        """The run that was made first with the same value of ONCE_TAG; of those that people repeat, None."""
        if ONCE_TAG not in run.tags or run.parent_run_id is not None:
            return None
        same = RunsFilter(tags={ONCE_TAG: run.tags[ONCE_TAG]})
        first = self._instance.get_runs(same, limit=1, ascending=True)
        return next((each.run_id for each in first if each.run_id != run.run_id), None)

    def terminate(self, run_id: str) -> bool:
        """End a run: politely, then by force when its grace is over.

        Returns:
            True if the run is ending or, its process being gone already, was recorded as canceled.
        """
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        try:
            alive = protocol.call(
                self._socket_path, {"op": "terminate", "run_id": run_id}, timeout_s=_ASK_SECONDS
            )["alive"]
        except protocol.WarmProcessAway:
            alive = False  # workers do not outlive the warm process
        if not alive:
            current = self._instance.get_run_by_id(run_id)
            if current is not None and not current.is_finished:
                self._instance.report_run_canceled(
                    current, "The run was canceled; it no longer had a process."
                )
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Health is known, so the daemon may mark runs of dead processes as failed."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """State of the run's process.

        Raises:
            WarmProcessBusy: no answer in time, which says nothing about the run.
        """
        try:
            answer = protocol.call(
                self._socket_path, {"op": "health", "run_id": run.run_id}, timeout_s=_ASK_SECONDS
            )
        except protocol.WarmProcessAway as error:
            return CheckRunHealthResult(WorkerStatus.FAILED, f"The run ended with the warm process. {error}")
        return CheckRunHealthResult(_STATES[answer["state"]], answer.get("reason"))
