"""Marts that keep breaking their freshness budget: a late batch is a warning, a minute of them a condition.

One condition names all of them: what makes one mart late, a cycle that takes longer than the budget, makes
all late. What is measured: checks/freshness.py, which reports the worst of each mart every 15 s.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from orchestration.conditions.condition import Finding
from orchestration.keys import FRESHNESS_CHECK
from orchestration.records.reader import CheckRecord

BROKEN_FOR = timedelta(seconds=60)
"""Between the first and the newest of the reports, without a good one between them."""
SUBJECT = "marts"
_FORGOTTEN = timedelta(minutes=10)  # without events there is no report, and nobody waits for a mart


class Budgets:
    """Remembers since when each mart has been late. One a running system."""

    def __init__(self) -> None:
        self._since: dict[str, datetime] = {}
        self._inherited: frozenset[str] | None = None

    @property
    def is_learning(self) -> bool:
        """Whether nothing can be said to be over yet.

        Until it has looked; and while a mart that was late when it began has brought no report since that
        says whether it still is. A condition that the supervisor before it opened stays so long.
        """
        return self._inherited is None or bool(self._inherited)

    def look(
        self, checks: Iterable[CheckRecord], *, age: Callable[[datetime], timedelta]
    ) -> Iterator[Finding]:
        """The marts that are late again and again, in one finding.

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
        broken = {
            mart: check for mart, check in late.items() if check.checked_at - self._since[mart] >= BROKEN_FOR
        }
        before = late.keys() if self._inherited is None else self._inherited
        self._inherited = frozenset(before & late.keys() - broken.keys())
        if broken:
            yield Finding(
                "budget_broken", SUBJECT, _sentence(broken),
                f"Each one's check '{FRESHNESS_CHECK}' in the web UI says where the time goes, "
                "'millrace status --cost' which models cost most.",
            )  # fmt: skip


def _sentence(broken: Mapping[str, CheckRecord]) -> str:
    """The marts with their budgets; it stays while they are the same, or the journal would grow."""
    budgets = {mart: check.numbers.get("budget_seconds") for mart, check in sorted(broken.items())}
    how_long = "in every report of more than a minute"
    promises = set(budgets.values())
    same = promises.pop() if len(promises) == 1 else None
    promised = f" of {same:g} s" if same is not None else ""
    if len(budgets) == 1:
        return f"{next(iter(budgets))} breaks its freshness budget{promised} {how_long}"
    named = [
        mart if seconds is None or same is not None else f"{mart} ({seconds:g} s)"
        for mart, seconds in budgets.items()
    ]
    return (
        f"{len(named)} marts break their freshness budget{promised} {how_long}: "
        f"{', '.join(named[:-1])} and {named[-1]}"
    )
