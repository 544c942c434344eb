"""structlog without rich: services that print no table import this before anything that logs.

Where rich is at hand, structlog writes tracebacks with it: with the values of variables, secrets among them,
in frames for a terminal. It is also 5 MiB of each process's memory.
"""

import sys

sys.modules.setdefault("rich", None)  # type: ignore[arg-type]  # importing it fails, as structlog expects
