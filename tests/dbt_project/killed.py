"""`python -m tests.dbt_project.killed PROJECT LINE …`: plain dbt that kills itself at its LINE-th step."""

import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

from dbt.cli.main import dbtRunner


def beside_line(event: Any) -> Iterator[str]:
    """What an event of dbt says of a table that is built beside another one."""
    said = str(event.info.msg).strip() if event.info.name == "JinjaLogInfo" else ""
    if " is built beside the old: " in said or " has been built again: " in said:
        yield said


def main() -> None:
    """Run dbt and die."""
    project, line, *more = sys.argv[1:]
    left = [int(line)]

    def note(event: Any) -> None:
        for _ in beside_line(event):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    folders = ["--project-dir", project, "--profiles-dir", project, "--target", "prod"]
    args = [
        "run",
        "--select",
        "stg_first",
        *folders,
        "--quiet",
        "--log-level-file",
        "none",
        "--no-write-json",
    ]
    dbtRunner(callbacks=[note]).invoke([*args, *more])


if __name__ == "__main__":
    main()
