"""Python's collector of garbage rests while a process imports what it needs.

Nothing that is imported is garbage, and yet it is walked again and again: a fifth of a start.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Collect nothing while the block runs; what is there at its end is never looked at again."""
    was_collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_collecting:
            gc.freeze()
            gc.enable()
