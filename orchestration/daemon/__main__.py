"""Dagster's daemon for `millrace up`: `python -m orchestration.daemon --workspace …`."""

import argparse
import logging
import time
from pathlib import Path

from orchestration.garbage import uncollected

with uncollected():
    from dagster._core.instance import DagsterInstance
    from dagster._core.workspace.load_target import WorkspaceFileTarget
    from dagster._daemon.controller import daemon_controller_from_instance
    from dagster._utils.interrupts import capture_interrupts, setup_interrupt_handlers

    from orchestration.daemon.clock import end_when_set_back, forget_times_to_come


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="orchestration.daemon", description=__doc__)
    parser.add_argument("--workspace", type=Path, required=True, help="Dagster's file of code servers")
    args = parser.parse_args()
    setup_interrupt_handlers()
    try:
        with capture_interrupts(), DagsterInstance.get() as instance:
            if changed := forget_times_to_come(instance, now=time.time()):
                logging.getLogger(__name__).warning(
                    f"the clock was set back: {changed} sensors and schedules go on from now"
                )
            end_when_set_back()
            target = WorkspaceFileTarget(paths=[str(args.workspace)])
            with daemon_controller_from_instance(
                instance, workspace_load_target=target, log_level="warning"
            ) as controller:
                controller.check_daemon_loop()
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    main()
