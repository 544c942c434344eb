"""The `millrace` command.

Each command has its own file and imports what it needs when it runs, so that light commands answer at once.
How errors become one sentence is in errors.py.
"""

import sys


def main() -> None:
    """Run the command line and exit with its code."""
    from orchestration.cli.app import run

    sys.exit(run(sys.argv[1:]))
