"""Holds the definitions for the daemon and the web server: `python -m orchestration.code_server --socket …`.

What `dagster api grpc` does, which gets the arguments, without that command line's collections of garbage.
"""

import sys

from orchestration.garbage import uncollected

with uncollected():
    from dagster._cli.api import grpc_command


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    grpc_command(sys.argv[1:], prog_name="dagster api grpc")


if __name__ == "__main__":
    main()
