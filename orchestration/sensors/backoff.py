"""Which streams to run now: healthy ones at once, failing ones apart and ever more seldom.

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
        judged_run: The last run whose outcome is in here.
        pauses: Failing streams.
        models: Fingerprint of the models that were last built as a whole.
        repaired: When the last repair ended whose models were asked for (ISO); empty: none was looked for.
    """

    judged_run: str = ""
    pauses: Mapping[str, Pause] = field(default_factory=dict)
    models: str = ""
    repaired: str = ""

    @staticmethod
    def loads(cursor: str | None) -> "Schedule":
        """Read a cursor; an unreadable one counts as none."""
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
        """Take in the outcome of a finished run.

        Args:
            run_id: The run.
            streams: What it was asked to ingest.
            failed: Those of them that failed, or whose models did.
            now: Unix seconds.
            models: Fingerprint of the models, if the run built them as a whole and went well.
        """
        pauses = {name: pause for name, pause in self.pauses.items() if name not in set(streams)}
        for name in failed:
            failures = self.pauses[name].failures + 1 if name in self.pauses else 1
            seconds = min(_FIRST_PAUSE_SECONDS * 2 ** (failures - 1), _LONGEST_PAUSE_SECONDS)
            pauses[name] = Pause(failures, now + seconds)
        return replace(self, judged_run=run_id, pauses=pauses, models=models or self.models)

    def choose(self, waiting: Iterable[str], *, now: float) -> list[str]:
        """The streams of the next run: all healthy ones that have work, else one failing one that is due."""
        waiting = list(waiting)
        due = [name for name in waiting if name in self.pauses and self.pauses[name].until <= now]
        healthy = [name for name in waiting if name not in self.pauses]
        return healthy or due[:1]


_ADAPTER = TypeAdapter(Schedule)
