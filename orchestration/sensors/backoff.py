"""Which streams to run now: healthy ones together, failing ones one at a time and less and less often.

Pure and serialisable: the arrivals sensor keeps it in its cursor. A lost cursor only forgets the pauses.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from pydantic import TypeAdapter, ValidationError

_FIRST_PAUSE_SECONDS = 10.0
_LONGEST_PAUSE_SECONDS = 300.0


@dataclass(frozen=True)
class Pause:
    """A failing stream's state: failures in a row, and when to try again (Unix seconds)."""

    failures: int
    until: float


@dataclass(frozen=True)
class Schedule:
    """What the sensor remembers between ticks.

    Attributes:
        judged_run: The last run whose outcome is entered here.
        pauses: Failing streams.
        models: Fingerprint of the models that were last built as a whole.
        repaired: When the last repair ended whose models were built (ISO); empty before the first tick.
        failed_again: The last run tried a failing stream and failed: healthy ones go before the next try.
    """

    judged_run: str = ""
    pauses: Mapping[str, Pause] = field(default_factory=dict)
    models: str = ""
    repaired: str = ""
    failed_again: bool = False

    @staticmethod
    def loads(cursor: str | None) -> "Schedule":
        """Read a cursor; an unreadable one counts as a first tick."""
        try:
            return _ADAPTER.validate_json(cursor) if cursor else Schedule()
        except ValidationError:
            return Schedule()

    def dumps(self) -> str:
        """The cursor."""
        return _ADAPTER.dump_json(self).decode()

    def judge(
        self, run_id: str, *, streams: Iterable[str], failed: Iterable[str], now: float, models: str = ""
    ) -> "Schedule":
        """Enter the outcome of a finished run.

        Args:
            run_id: The run.
            streams: What it was asked to ingest.
            failed: Those of them that failed, or whose models failed.
            now: Unix seconds.
            models: Fingerprint of the models, if the run built them as a whole and went well.
        """
        pauses = {name: pause for name, pause in self.pauses.items() if name not in set(streams)}
        failed = list(failed)
        for name in failed:
            failures = self.pauses[name].failures + 1 if name in self.pauses else 1
            seconds = min(_FIRST_PAUSE_SECONDS * 2 ** (failures - 1), _LONGEST_PAUSE_SECONDS)
            pauses[name] = Pause(failures, now + seconds)
        return replace(
            self,
            judged_run=run_id,
            pauses=pauses,
            models=models or self.models,
            failed_again=any(name in self.pauses for name in failed),
        )

    def choose(self, waiting: Iterable[str], *, now: float) -> list[str]:
        """The streams of the next run: one failing one that is due, else all healthy ones that have work.

        A failing one gets its turn however busy the others are, and the healthy ones however many fail.
        """
        waiting = list(waiting)
        healthy = [name for name in waiting if name not in self.pauses]
        due = [name for name in waiting if self.is_due(name, now=now)]
        due.sort(key=lambda name: self.pauses[name].until)
        return healthy if healthy and (self.failed_again or not due) else due[:1]

    def is_paused(self, stream: str, *, now: float) -> bool:
        """Whether a failing stream still has to wait."""
        return stream in self.pauses and self.pauses[stream].until > now

    def is_due(self, stream: str, *, now: float) -> bool:
        """Whether a failing stream's pause is over."""
        return stream in self.pauses and self.pauses[stream].until <= now

    def next_due(self, streams: Iterable[str], *, now: float) -> float | None:
        """When the next pause of one of these streams is over (Unix seconds); None when none is running."""
        untils = [self.pauses[name].until for name in streams if name in self.pauses]
        return min((until for until in untils if until > now), default=None)


_ADAPTER = TypeAdapter(Schedule)
