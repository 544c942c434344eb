"""When a cycle begins: as late as the budget allows, or as soon as what waits is worth one.

A cycle costs about the same for one event as for hundreds, so that cycles back to back would keep a core busy
at a handful of events a second. The first events after a pause never wait.
"""

import statistics
from collections import deque

_WORTH_EVENTS = 500
"""From here on the events of a batch cost more than the cycle around them."""
_OF_BUDGET = 0.85
"""The rest is for cycles that take longer than those before."""
_CYCLES_PER_BUDGET = 4.0
_REMEMBERED = 8
_LOOKS_PER_BUDGET = 8.0


class Pace:
    """Decides when cycles of one run begin.

    An event that comes just after a cycle has read waits until the next one begins, and for as long as that
    takes. Both together are to fit into the budget.

    Args:
        budget_seconds: The shortest freshness that one of the models declares.
    """

    def __init__(self, budget_seconds: float) -> None:
        self._budget = budget_seconds
        self._began: float | None = None
        self._seconds = deque[float](maxlen=_REMEMBERED)

    def note(self, *, began: float, seconds: float) -> None:
        """A cycle has ended.

        Args:
            began: When it began, by the monotonic clock.
            seconds: How long it took.
        """
        self._began = began
        self._seconds.append(seconds)

    def rest(self, now: float, *, events: int) -> float:
        """Seconds until it is to be asked again; 0: a cycle begins.

        Args:
            now: By the monotonic clock.
            events: How many wait.
        """
        if self._began is None:
            return 0.0
        soonest = self._began + self._budget / _CYCLES_PER_BUDGET
        # The median: checks of whole tables make one cycle in several longer, after its models are built.
        latest = self._began + _OF_BUDGET * self._budget - statistics.median(self._seconds)
        due = soonest if events >= _WORTH_EVENTS else max(soonest, latest)
        return min(max(0.0, due - now), self._budget / _LOOKS_PER_BUDGET)
