"""A forking worker; and what the kills came to, counted and printed as a Markdown table at the end."""

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.fault.orders import Worker
from tests.fault.recovery import Recovery, table
from tests.fault.seeds import KILLS, SEED

if "MILLRACE_FAULT_KILLS" not in os.environ:
    collect_ignore = ["test_kills_system.py", "test_memory.py", "test_recovery.py"]


@dataclass
class Count:
    """What was done at one place.

    Attributes:
        kills: Processes that died by SIGKILL.
        events: Events sent.
        violations: Sentences of the oracle.
    """

    kills: int = 0
    events: int = 0
    violations: int = 0


@dataclass
class Tally:
    """Place → count, and what became of each fault, over the session."""

    places: defaultdict[str, Count] = field(default_factory=lambda: defaultdict(Count))
    recoveries: list[Recovery] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The table, with a total."""
        counts = list(self.places.values())
        total = Count(*(sum(getattr(one, name) for one in counts) for name in Count.__annotations__))
        rows = [*self.places.items(), ("all", total)]
        return [
            f"KILLS={KILLS} MILLRACE_FAULT_SEED={SEED}",
            "",
            "| place | kills | events | violations |",
            "|---|---|---|---|",
            *(f"| {place} | {one.kills} | {one.events} | {one.violations} |" for place, one in rows),
        ]


_TALLY = pytest.StashKey[Tally]()


def pytest_configure(config: pytest.Config) -> None:
    """Begin at zero."""
    config.stash[_TALLY] = Tally()


@pytest.fixture(scope="session")
def worker() -> Iterator[Worker]:
    """The forking process, one for all tests."""
    worker = Worker()
    yield worker
    worker.close()


@pytest.fixture
def tally(pytestconfig: pytest.Config) -> Tally:
    """Where a test counts its kills."""
    return pytestconfig.stash.setdefault(_TALLY, Tally())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table, also when a test has failed."""
    tally = config.stash.get(_TALLY, None)
    if tally is not None and tally.places:
        terminalreporter.section("kills")
        for line in tally.lines():
            terminalreporter.write_line(line)
    if tally is not None and tally.recoveries:
        terminalreporter.section("from the end of a fault to the next event in raw")
        for line in table(tally.recoveries):
            terminalreporter.write_line(line)
