"""The simulated plant's production orders: created, started, then completed or cancelled.

Pure: time and randomness are arguments. Sending is plant.py's.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from orchestration.demo.machines import Machine, timestamp

_PRODUCTS = ("bracket", "flange", "gear", "housing", "shaft")
_CANCELLED_SHARE = 0.12
_QUEUE_SECONDS = (2.0, 12.0)
_WORK_SECONDS = (5.0, 40.0)
_TOMBSTONE_SHARE = 0.05
_FIRST_STARTED_SECONDS, _FIRST_ENDED_SECONDS = 0.2, 0.5
"""The first order is through at once: inspections and parcels follow from orders, and a demo may be short."""


@dataclass(frozen=True)
class OrderEvent:
    """One message's content on the topic of orders."""

    order_event_id: str
    order_id: str
    machine_id: str
    product: str
    quantity: int
    event: str
    occurred_at: str


@dataclass(frozen=True)
class OrderMessage:
    """A message to send: its key, and its content or None for a tombstone."""

    order_id: str
    event: OrderEvent | None


class OrderBook:
    """Makes orders at a steady rate and follows each to its end.

    Args:
        machines: That orders are for.
        random: Its own generator.
        orders_per_second: New orders.
        run_id: Part of the ids, so that two runs never make the same.
    """

    def __init__(
        self, machines: Sequence[Machine], random: Random, *, orders_per_second: float, run_id: str
    ) -> None:
        self._machines = machines
        self._random = random
        self._rate = orders_per_second
        self._run_id = run_id
        self._number = 0
        self._next_order_s = 0.0
        self._due: list[tuple[float, int, str, OrderEvent | None, str]] = []
        self._sequence = 0

    def due(self, elapsed_s: float, *, now_s: float) -> Iterator[OrderMessage]:
        """What has happened up to `elapsed_s` seconds since the start and was not yielded before."""
        while self._next_order_s <= elapsed_s:
            self._plan_order(self._next_order_s)
            self._next_order_s += self._random.expovariate(self._rate)
        while self._due and self._due[0][0] <= elapsed_s:
            at_s, _, order_id, template, event = heapq.heappop(self._due)
            if template is None:
                yield OrderMessage(order_id, None)
                continue
            yield OrderMessage(
                order_id,
                OrderEvent(
                    order_event_id=f"{order_id}-{event}",
                    order_id=order_id,
                    machine_id=template.machine_id,
                    product=template.product,
                    quantity=template.quantity,
                    event=event,
                    occurred_at=timestamp(now_s - (elapsed_s - at_s)),
                ),
            )

    def _plan_order(self, created_s: float) -> None:
        random = self._random
        self._number += 1
        order_id = f"order-{self._run_id}-{self._number:06d}"
        template = OrderEvent(
            "", order_id, random.choice(self._machines).machine_id, random.choice(_PRODUCTS),
            random.randint(5, 500), "", "",
        )  # fmt: skip
        started_s = created_s + random.uniform(*_QUEUE_SECONDS)
        ended_s = started_s + random.uniform(*_WORK_SECONDS)
        end = "cancelled" if random.random() < _CANCELLED_SHARE else "completed"
        is_first = self._number == 1
        if is_first:
            started_s, ended_s, end = _FIRST_STARTED_SECONDS, _FIRST_ENDED_SECONDS, "completed"
        for at_s, event in ((created_s, "created"), (started_s, "started"), (ended_s, end)):
            self._push(at_s, order_id, template, event)
        if random.random() < _TOMBSTONE_SHARE and not is_first:
            self._push(ended_s + 2.0, order_id, None, "")

    def _push(self, at_s: float, order_id: str, template: OrderEvent | None, event: str) -> None:
        self._sequence += 1
        heapq.heappush(self._due, (at_s, self._sequence, order_id, template, event))
