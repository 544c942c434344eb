"""Names that no other worker of the run gives to something on a shared server."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from functools import cache

WORKER = os.environ.get("PYTEST_XDIST_WORKER")
"""`gw0`, `gw1`, …; None in a run without workers."""

RUN = "TEST_RUN"
"""The variable with the number of a run that uses servers which others used before (fault/mutations)."""


@cache
def numbers() -> Iterator[int]:
    """1, 2, 3, … in a run without workers; each worker and each such run counts from a number of its own.

    It is one count for all who ask in a process: a fixture that asks again gets the next number.
    """
    own = int(WORKER.removeprefix("gw")) + 1 if WORKER else 0
    run = int(os.environ.get(RUN, "0"))
    return itertools.count((run * 100 + own) * 10_000 + 1)
