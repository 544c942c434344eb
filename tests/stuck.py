"""A test that is stuck where no signal reaches it ends its process, which first says where it stands.

A pytest plugin beside pytest-timeout, whose alarm raises an exception in the test's Python code. A call of
compiled code that does not return never gets there, and the whole run would wait for it without a word. Here
a thread of C writes the Python stacks of all threads, a while after that alarm, and ends the process: of a
worker, xdist then reports the test as failed and goes on with another worker.
"""

from __future__ import annotations

import faulthandler
import os
from collections.abc import Iterator
from typing import Any

import pytest

GRACE = "GRACE_OF_STUCK_TESTS"
"""Names a variable of the environment: how many seconds after pytest-timeout's alarm, if not 120."""
_STDERR = pytest.StashKey[int]()
_SECONDS = pytest.StashKey[float]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_STDERR] = os.dup(2)  # while tests run, pytest keeps what is written to 2


def pytest_unconfigure(config: pytest.Config) -> None:
    os.close(config.stash[_STDERR])


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> None:
    item.stash[_SECONDS] = settings.timeout + float(os.environ.get(GRACE, "120"))
    _watch(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Watched again: a failure before it has stopped both clocks, so that a person may look at it."""
    _watch(item)
    return (yield)


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_timeout_cancel_timer(item: pytest.Item) -> None:
    faulthandler.cancel_dump_traceback_later()


def _watch(item: pytest.Item) -> None:
    seconds = item.stash.get(_SECONDS, None)
    if seconds is not None and not item.config.getoption("usepdb"):
        faulthandler.dump_traceback_later(seconds, exit=True, file=item.config.stash[_STDERR])
