"""How many kills, and the dice's seed: both from the environment, for `make fault`."""

import os
import time

KILLS = int(os.environ.get("MILLRACE_FAULT_KILLS", "2"))
SEED = int(os.environ.get("MILLRACE_FAULT_SEED", "0")) or time.time_ns() % 10**9
