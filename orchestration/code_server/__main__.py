"""Holds the definitions for the daemon and the web server: `python -m orchestration.code_server --socket …`.

What `dagster api grpc` does, which gets the arguments, without that command line's collections of garbage.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import resource_tracker
from typing import Any

from orchestration.garbage import uncollected

with uncollected():
    from dagster._cli.api import grpc_command

_AGAIN = "--again"


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    arguments = sys.argv[1:]
    if _AGAIN in arguments:
        arguments.remove(_AGAIN)
    elif _brings_dbt(arguments):
        # Parsing needs dbt, and serving does not: a program that starts afresh reads what was parsed, and has
        # given back what parsing took. Its process stays, and so do its parent and its log.
        tracker: Any = resource_tracker._resource_tracker
        tracker._stop()  # of dbt's locks: a child that nobody would wait for then
        os.execv(sys.executable, [*sys.orig_argv, _AGAIN])  # noqa: S606
    grpc_command(arguments, prog_name="dagster api grpc")


def _brings_dbt(arguments: Sequence[str]) -> bool:
    """Load the definitions, which the server then finds loaded; whether that has imported dbt."""
    module = arguments[arguments.index("--module-name") + 1] if "--module-name" in arguments else ""
    with suppress(Exception):  # the server loads them again, and shows why they cannot be
        importlib.import_module(module)
    return "dbt" in sys.modules


if __name__ == "__main__":
    main()
