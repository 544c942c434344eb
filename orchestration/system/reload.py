"""Asks the code server to load the code anew: `python -m orchestration.system.reload SOCKET`.

A process of its own, for Dagster's client takes seconds to import and the answer may take more. The old code
serves until the new is loaded; running.py decides when.
"""

import sys

from dagster._grpc.client import DagsterGrpcClient

_LOAD_SECONDS = 180


def main() -> None:
    """Ask, and wait until the new code serves."""
    DagsterGrpcClient(socket=sys.argv[1]).reload_code(timeout=_LOAD_SECONDS)


if __name__ == "__main__":
    main()
