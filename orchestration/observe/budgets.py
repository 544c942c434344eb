"""Marts that keep breaking their freshness budget: a late batch is a warning, a minute of them a condition.

What is measured: checks/freshness.py, which reports the worst of each mart every 15 s while events come.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta

from orchestration.conditions.condition import Finding
from orchestration.keys import FRESHNESS_CHECK
from orchestration.records.reader import CheckRecord

BROKEN_FOR = timedelta(seconds=60)
"""Between the first and the newest of the reports, without a good one between them."""
_FORGOTTEN = timedelta(minutes=10)  # without events there is no report, and nobody waits for a mart
_LEARNING_SECONDS = 90.0


class Budgets:
    """Remembers since when each mart has been late. One a running system.

    Args:
        steady: A clock that nobody sets, seconds.
    """

    def __init__(self, steady: Callable[[], float] = time.monotonic) -> None:
        self._since: dict[str, datetime] = {}
        self._steady, self._began = steady, steady()

    @property
    def is_learning(self) -> bool:
        """Whether it began too short a time ago to know what is broken."""
        return self._steady() - self._began < _LEARNING_SECONDS

    def look(
        self, checks: Iterable[CheckRecord], *, age: Callable[[datetime], timedelta]
    ) -> Iterator[Finding]:
        """The marts that are late again and again.

        Args:
            checks: The newest result of each check.
            age: How long ago something was stamped.
        """
        late = {
            check.asset: check
            for check in checks
            if check.check == FRESHNESS_CHECK
            and check.outcome == "warned"
            and age(check.checked_at) < _FORGOTTEN
        }
        self._since = {mart: self._since.get(mart, check.checked_at) for mart, check in late.items()}
        for mart, check in sorted(late.items()):
            if check.checked_at - self._since[mart] >= BROKEN_FOR:
                budget = check.numbers.get("budget_seconds")
                promised = f" of {budget:g} s" if budget is not None else ""
                yield Finding(
                    "budget_broken", mart,
                    f"{mart} breaks its freshness budget{promised} in every report of more than a minute",
                    f"Its check '{FRESHNESS_CHECK}' in the web UI says where the time goes, "
                    "'millrace status --cost' which models cost most.",
                )  # fmt: skip
