"""Dagster's web server behind the guard: `python -m orchestration.web --port … --workspace …`.

What `dagster-webserver` does, without its telemetry. Addresses, password and certificate are the settings'.
"""

import argparse
import sys
from pathlib import Path

from orchestration.garbage import uncollected

with uncollected():
    import uvicorn
    from dagster._core.instance import DagsterInstance
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import WorkspaceFileTarget
    from dagster._utils.log import configure_loggers
    from dagster_webserver.app import create_app_from_workspace_process_context
    from dagster_webserver.version import __version__

    from ingestion.errors import MillraceError
    from ingestion.settings import load_settings
    from orchestration.web.access import access
    from orchestration.web.guard import Guard

# As in dagster_webserver.cli: milliseconds, seconds, connections, milliseconds.
_STATEMENT_TIMEOUT, _POOL_RECYCLE, _POOL_OVERFLOW, _POLL = 15_000, 3_600, 20, 2_000


def main() -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    parser = argparse.ArgumentParser(prog="orchestration.web", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="the port to listen on")
    parser.add_argument("--workspace", type=Path, required=True, help="Dagster's file of code servers")
    args = parser.parse_args()
    configure_loggers(formatter="colored", log_level="WARNING")
    try:
        settings = load_settings()
        allowed = access(settings)
    except MillraceError as error:
        print(error, file=sys.stderr)
        return 1
    with DagsterInstance.get() as instance:
        instance.optimize_for_webserver(_STATEMENT_TIMEOUT, _POOL_RECYCLE, _POOL_OVERFLOW)
        target = WorkspaceFileTarget(paths=[str(args.workspace)])
        with WorkspaceProcessContext(instance, target, version=__version__) as context:
            uvicorn.run(
                Guard(create_app_from_workspace_process_context(context, "", _POLL), allowed),
                host=settings.ui_host,
                port=args.port,
                log_level="warning",
                ssl_certfile=settings.ui_tls_cert_file,
                ssl_keyfile=settings.ui_tls_key_file,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
