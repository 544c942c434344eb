"""The live page's server behind the web UI's guard: `python -m orchestration.page --port …`."""

import argparse
import sys

from orchestration.garbage import uncollected

with uncollected():
    import uvicorn

    from ingestion.errors import MillraceError
    from ingestion.settings import load_settings
    from orchestration.page.app import PageApp
    from orchestration.page.door import Door
    from orchestration.web.access import access
    from orchestration.web.roles import Roles

_LEAVE_SECONDS = 2


def main() -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    parser = argparse.ArgumentParser(prog="orchestration.page", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="the port to listen on")
    args = parser.parse_args()
    try:
        settings = load_settings()
        allowed = access(settings)
    except MillraceError as error:
        print(error, file=sys.stderr)
        return 1
    page = PageApp(settings)
    server = uvicorn.Server(
        uvicorn.Config(
            Door(page.application(), allowed, Roles(settings)),
            host=settings.ui_host, port=args.port, log_level="warning",
            ssl_certfile=settings.ui_tls_cert_file, ssl_keyfile=settings.ui_tls_key_file,
            timeout_graceful_shutdown=_LEAVE_SECONDS,
        )
    )  # fmt: skip
    server.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
