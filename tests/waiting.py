"""Waiting for a condition, with a bound and a word about what did not happen.

A wait that passes costs nothing, so the bound is for a machine that is many times slower than yours.
"""

import time
from collections.abc import Callable


def eventually(condition: Callable[[], object], what: str, *, seconds: float = 60.0) -> None:
    """Poll until the condition is true.

    Raises:
        AssertionError: It was not within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.05)
