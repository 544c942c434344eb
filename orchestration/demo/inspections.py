"""The simulated plant's inspectors: what their hand-held scanners report of the parts of an order.

Pure: time and randomness are arguments. Sending is scanners.py's, orders are orders.py's.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from orchestration.demo.machines import timestamp
from orchestration.demo.orders import OrderEvent

_SCANNERS = 6
_FIRST_PIECES = 5
_SAMPLE = (5, 40)
_FIRST_SECONDS = (1.0, 4.0)
_LAST_SECONDS = (0.5, 6.0)
_SECOND_LOOK_SHARE = 0.4
_PASSED_SHARE = {"bracket": 0.99, "flange": 0.97, "gear": 0.9, "housing": 0.95, "shaft": 0.93}
_OTHER_PASSED_SHARE = 0.96
_SCRAPPED_SHARE = 0.3
_DEFECTS = ("burr", "crack", "dimension", "scratch")


@dataclass(frozen=True)
class Inspection:
    """One event's content."""

    inspection_id: str
    order_id: str
    scanner_id: str
    inspected: int
    passed: int
    scrapped: int
    defect: str | None
    inspected_at: str


class Inspectors:
    """Look at the first pieces of every order, and at a sample once it is completed.

    Args:
        random: Their own generator.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._due: list[tuple[float, int, str, str, int]] = []
        self._number = 0

    def notice(self, event: OrderEvent, *, elapsed_s: float) -> None:
        """Plan what an event of an order calls for; `elapsed_s` seconds since the start."""
        random = self._random
        if event.event == "started":
            self._plan(event, elapsed_s + random.uniform(*_FIRST_SECONDS), min(event.quantity, _FIRST_PIECES))
        if event.event == "completed":
            for _ in range(1 + (random.random() < _SECOND_LOOK_SHARE)):
                parts = min(event.quantity, random.randint(*_SAMPLE))
                self._plan(event, elapsed_s + random.uniform(*_LAST_SECONDS), parts)

    def due(self, elapsed_s: float, *, now_s: float) -> Iterator[Inspection]:
        """What was looked at up to `elapsed_s` seconds since the start; `now_s` is the wall clock's time."""
        random = self._random
        while self._due and self._due[0][0] <= elapsed_s:
            at_s, number, order_id, product, parts = heapq.heappop(self._due)
            share = _PASSED_SHARE.get(product, _OTHER_PASSED_SHARE)
            failed = sum(random.random() >= share for _ in range(parts))
            yield Inspection(
                inspection_id=f"{order_id}-i{number}",
                order_id=order_id,
                scanner_id=f"scanner-{random.randint(1, _SCANNERS)}",
                inspected=parts,
                passed=parts - failed,
                scrapped=sum(random.random() < _SCRAPPED_SHARE for _ in range(failed)),
                defect=random.choice(_DEFECTS) if failed else None,
                inspected_at=timestamp(now_s - (elapsed_s - at_s)),
            )

    def _plan(self, event: OrderEvent, at_s: float, parts: int) -> None:
        self._number += 1
        heapq.heappush(self._due, (at_s, self._number, event.order_id, event.product, parts))
