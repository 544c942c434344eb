"""Command line of the warm process: `python -m orchestration.warm --socket … --module … --log-dir …`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from orchestration.warm import forking
from orchestration.warm.exclusive import AlreadyServed
from orchestration.warm.keeper import Keeper, KeeperOptions


def main() -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    parser = argparse.ArgumentParser(prog="orchestration.warm", description=__doc__)
    parser.add_argument("--socket", type=Path, required=True, help="the socket to listen on")
    parser.add_argument("--module", required=True, help="the module with the Dagster definitions")
    parser.add_argument("--log-dir", type=Path, required=True, help="folder for the output of runs")
    parser.add_argument("--working-directory", type=Path, default=Path.cwd(), help="folder to import from")
    parser.add_argument("--watch", type=Path, action="append", default=[], help="file or folder with code")
    parser.add_argument("--grace-seconds", type=float, default=20.0, help="from SIGTERM to SIGKILL of a run")
    parser.add_argument("--patience-seconds", type=float, default=40.0, help="for the one before to end")
    parser.add_argument("--stall-seconds", type=float, default=0.0, help="for a run to get on; 0: for ever")
    parser.add_argument("--client", action="append", default=[], help="module of a broker's client to import")
    parser.add_argument("--die-with-parent", action="store_true", help="end when the parent process ends")
    args = parser.parse_args()
    if args.die_with_parent:
        forking.die_with(os.getppid(), signal_number=signal.SIGTERM)
    options = KeeperOptions(
        socket_path=args.socket.absolute(),
        log_dir=args.log_dir.absolute(),
        module=args.module,
        working_directory=args.working_directory.absolute(),
        watched=tuple(path.absolute() for path in args.watch),
        grace_seconds=args.grace_seconds,
        patience_seconds=args.patience_seconds,
        clients=tuple(args.client),
        stall_seconds=args.stall_seconds,
    )
    try:
        Keeper(options).serve()
    except (AlreadyServed, PermissionError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
