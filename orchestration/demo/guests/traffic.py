"""What guests' streams are about: counters of electricity meters, and scans of parcels.

Pure: time and randomness are arguments. Sending is outbox.py's.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from orchestration.demo.machines import Machine, timestamp
from orchestration.demo.orders import OrderEvent

_METER_SECONDS = 3.0
_LOAD_SHARE = (0.4, 0.9)
_CARRIERS = ("north", "post", "rail")
_PICKED_UP_SECONDS = (2.0, 8.0)
_DELIVERED_SECONDS = (5.0, 20.0)


@dataclass(frozen=True)
class MeterReading:
    """One event's content."""

    meter_reading_id: str
    line_id: str
    energy_kwh: float
    read_at: str


@dataclass(frozen=True)
class Scan:
    """One event's content."""

    scan_id: str
    order_id: str
    carrier: str
    stage: str
    scanned_at: str


class Meters:
    """One a line, read every few seconds.

    Args:
        machines: Whose power they count.
        random: Their own generator.
        run_id: Part of the ids, so that two runs never make the same.
    """

    def __init__(self, machines: Sequence[Machine], random: Random, *, run_id: str) -> None:
        self._random, self._run_id = random, run_id
        self._power_kw: dict[str, float] = {}
        for machine in machines:
            self._power_kw[machine.line_id] = (
                self._power_kw.get(machine.line_id, 0.0) + machine.rated_power_kw
            )
        self._kwh = {line: random.uniform(1_000.0, 90_000.0) for line in self._power_kw}
        self._number = 0

    def due(self, elapsed_s: float, *, now_s: float) -> Iterator[MeterReading]:
        """What was read up to `elapsed_s` seconds since the start; `now_s` is the wall clock's time."""
        while self._number * _METER_SECONDS <= elapsed_s:
            at_s = self._number * _METER_SECONDS
            self._number += 1
            for line, power_kw in self._power_kw.items():
                self._kwh[line] += power_kw * self._random.uniform(*_LOAD_SHARE) * _METER_SECONDS / 3600
                yield MeterReading(
                    f"{line}-{self._run_id}-{self._number}",
                    line,
                    round(self._kwh[line], 4),
                    timestamp(now_s - (elapsed_s - at_s)),
                )


class Carriers:
    """Pick up what is completed, and deliver it.

    Args:
        random: Their own generator.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._due: list[tuple[float, str, str, str]] = []
        self._has_left = False

    def notice(self, event: OrderEvent, *, elapsed_s: float) -> None:
        """Plan what an event of an order calls for; `elapsed_s` seconds since the start."""
        if event.event != "completed":
            return
        random = self._random
        carrier, at_s = random.choice(_CARRIERS), elapsed_s + random.uniform(*_PICKED_UP_SECONDS)
        if not self._has_left:  # a demo may be short
            self._has_left, at_s = True, elapsed_s
        heapq.heappush(self._due, (at_s, event.order_id, "picked_up", carrier))
        at_s += random.uniform(*_DELIVERED_SECONDS)
        heapq.heappush(self._due, (at_s, event.order_id, "delivered", carrier))

    def due(self, elapsed_s: float, *, now_s: float) -> Iterator[Scan]:
        """What was scanned up to `elapsed_s` seconds since the start; `now_s` is the wall clock's time."""
        while self._due and self._due[0][0] <= elapsed_s:
            at_s, order_id, stage, carrier = heapq.heappop(self._due)
            at = timestamp(now_s - (elapsed_s - at_s))
            yield Scan(f"{order_id}-{stage}", order_id, carrier, stage, at)
