"""How many kills, and the dice's seed: both from the environment, for `make fault`."""

import os
import time

KILLS = int(os.environ.get("MILLRACE_FAULT_KILLS", "2"))
RUNS_KILLED = 25 if KILLS >= 25 else max(KILLS // 2, 1)
"""Where a kill costs a whole run with dbt and checks."""
SYSTEMS_KILLED = min(max(KILLS // 5, 1), 5)
"""Where it costs a start of the whole system."""
SEED = int(os.environ.get("MILLRACE_FAULT_SEED", "0")) or time.time_ns() % 10**9
