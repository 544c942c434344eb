"""The simulated plant's machines: how temperature, vibration and power follow load and faults.

Pure: time and randomness are arguments. Sending is plant.py's, orders are orders.py's.
"""

import csv
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random

MACHINES = Path("seeds") / "machines.csv"
"""The plant's machines, below its dbt project: a seed."""

_AMBIENT_CELSIUS = 22.0
_IDLE_POWER_SHARE = 0.12
_FAULT_SECONDS = (18.0, 35.0)
_CALM_SECONDS = (25.0, 240.0)
_FAULT_CELSIUS_ABOVE_NOMINAL = 70.0
_FAULT_VIBRATION_MM_S = (8.5, 14.0)
_WARMING_SECONDS = 22.0
_CYCLE_SECONDS = {"press": 12.0, "mill": 40.0, "oven": 90.0, "robot": 6.0}
_OTHER_CYCLE_SECONDS = 20.0


@dataclass(frozen=True)
class Machine:
    """One machine of the plant, as the seed `machines` has it.

    Attributes:
        machine_id: Its name, unique in the plant.
        line_id: The line it stands in.
        kind: What it is; gives the length of its load cycle.
        nominal_celsius: Temperature that full load settles at.
        nominal_vibration_mm_s: RMS velocity at full load, as in ISO 10816.
        rated_power_kw: At full load.
    """

    machine_id: str
    line_id: str
    kind: str
    nominal_celsius: float
    nominal_vibration_mm_s: float
    rated_power_kw: float

    @property
    def cycle_s(self) -> float:
        """Length of a load cycle."""
        return _CYCLE_SECONDS.get(self.kind, _OTHER_CYCLE_SECONDS)


def read_machines(seed: Path) -> tuple[Machine, ...]:
    """The machines of dbt's seed, so that readings and dimension agree."""
    with seed.open(encoding="utf-8", newline="") as file:
        return tuple(
            Machine(
                machine_id=row["machine_id"],
                line_id=row["line_id"],
                kind=row["machine_kind"],
                nominal_celsius=float(row["nominal_temperature_celsius"]),
                nominal_vibration_mm_s=float(row["nominal_vibration_mm_s"]),
                rated_power_kw=float(row["rated_power_kw"]),
            )
            for row in csv.DictReader(file)
        )


@dataclass(frozen=True)
class Reading:
    """One telemetry message's content."""

    reading_id: str
    machine_id: str
    line_id: str
    measured_at: str
    temperature_celsius: float
    vibration_mm_s: float
    power_kw: float
    status: str


def timestamp(moment_s: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC with milliseconds."""
    return datetime.fromtimestamp(moment_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Simulation:
    """One machine's state over time.

    Args:
        machine: Which one.
        random: Its own generator, so that machines do not influence one another.
        first_fault_s: Seconds from the start to its first fault; None for one drawn at random.

    Attributes:
        turned_at_s: When its readings began to report a fault, or ceased to, in seconds since 1970.
    """

    def __init__(self, machine: Machine, random: Random, *, first_fault_s: float | None = None) -> None:
        self.machine = machine
        self.faults = 0
        self.turned_at_s = 0.0
        self._random = random
        self._phase = random.uniform(0.0, machine.cycle_s)
        self._celsius = random.uniform(_AMBIENT_CELSIUS, machine.nominal_celsius)
        self._fault_at = random.uniform(*_CALM_SECONDS) if first_fault_s is None else first_fault_s
        self._fault_until = 0.0
        self._fault_vibration = 0.0
        self._broken = self._was_faulty = False
        self._last_s = 0.0
        self._number = 0

    def read(self, elapsed_s: float, *, now_s: float) -> Reading:
        """Advance to `elapsed_s` seconds since the start and measure; `now_s` is the wall clock's time."""
        machine, random = self.machine, self._random
        faulty = self._advance_faults(elapsed_s)
        if faulty is not self._was_faulty:
            self._was_faulty, self.turned_at_s = faulty, now_s
        angle = 2 * math.pi * (elapsed_s + self._phase) / machine.cycle_s
        idle = not faulty and math.sin(angle / 7.3) < -0.85
        load = 0.0 if idle else 0.55 + 0.45 * (0.5 - 0.5 * math.cos(angle))
        self._warm(load, faulty, step_s=elapsed_s - self._last_s)
        self._last_s = elapsed_s
        vibration = self._fault_vibration if faulty else machine.nominal_vibration_mm_s * (0.15 + 0.85 * load)
        power_share = _IDLE_POWER_SHARE + (1 - _IDLE_POWER_SHARE) * load * (1.2 if faulty else 1.0)
        self._number += 1
        return Reading(
            reading_id=f"{machine.machine_id}-{int(now_s * 1000)}-{self._number}",
            machine_id=machine.machine_id,
            line_id=machine.line_id,
            measured_at=timestamp(now_s),
            temperature_celsius=round(self._celsius + random.gauss(0.0, 0.3), 2),
            vibration_mm_s=round(max(0.0, vibration * random.gauss(1.0, 0.05)), 3),
            power_kw=round(max(0.0, machine.rated_power_kw * power_share * random.gauss(1.0, 0.02)), 2),
            status="fault" if faulty else "idle" if idle else "running",
        )

    @property
    def is_faulty(self) -> bool:
        """Whether its last reading was one of a fault."""
        return self._broken or self._last_s < self._fault_until

    def break_down(self) -> None:
        """A fault from the next reading on, until it is repaired."""
        self.faults += 1
        self._fault_vibration = self._random.uniform(*_FAULT_VIBRATION_MM_S)
        self._broken = True

    def repair(self) -> None:
        """End that fault; one that came by itself lasts as long as it would have."""
        self._broken = False

    def _advance_faults(self, elapsed_s: float) -> bool:
        if elapsed_s >= self._fault_at:
            self.faults += 1
            self._fault_vibration = self._random.uniform(*_FAULT_VIBRATION_MM_S)
            self._fault_until = elapsed_s + self._random.uniform(*_FAULT_SECONDS)
            self._fault_at = self._fault_until + self._random.uniform(*_CALM_SECONDS)
        return self._broken or elapsed_s < self._fault_until

    def _warm(self, load: float, faulty: bool, *, step_s: float) -> None:
        """Newton's law of cooling towards what the load, or a fault, settles at."""
        nominal = self.machine.nominal_celsius
        target = _AMBIENT_CELSIUS + (nominal - _AMBIENT_CELSIUS) * (0.7 + 0.3 * load)
        if faulty:
            target = nominal + _FAULT_CELSIUS_ABOVE_NOMINAL
        constant_s = _WARMING_SECONDS / 3 if faulty else _WARMING_SECONDS
        self._celsius += (target - self._celsius) * (1 - math.exp(-max(0.0, step_s) / constant_s))
