"""Room on Python's stack for values that nest deep: what is too deep is found by a limit that does not depend
on how deep the caller stands."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_LEVELS = 20_000
"""Frames of Python, which take no C stack; orjson refuses more than 254 levels long before."""


@contextmanager
def deeper_stack() -> Iterator[None]:
    """More frames than usual, for a while."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, _LEVELS))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)
