"""Which streams to run now: healthy ones together, failing ones one at a time and less and less often.

Pure and serialisable: the arrivals sensor keeps it in its cursor. A lost cursor only forgets the pauses.
Models that fail have pauses of their own (model_pauses.py) and hold up no stream.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pydantic import TypeAdapter, ValidationError

from orchestration.conditions.condition import Finding
from orchestration.keys import EVERY_MODEL
from orchestration.sensors.model_pauses import ModelPauses
from orchestration.sensors.pause import Pause

_SUSPICIOUS_DEATHS = 2
_REMEDY = "It is tried again by itself, every five minutes at the least; no other stream waits for it."
_DIED = "the process of its run died, more than once in a row"


@dataclass(frozen=True)
class Schedule:
    """What the sensor remembers between ticks.

    Attributes:
        judged_run: The last run whose outcome is entered here.
        pauses: Failing streams.
        models: Fingerprint of the models that were last built as a whole.
        repaired: When the last repair ended whose models were built (ISO); empty before the first tick.
        failed_again: The last run tried a failing stream and failed: healthy ones go before the next try.
        not_built: Failing and broken models.
        died: How many runs in a row ended without a word: interrupted, killed.
        unfinished: The streams of the last run, if it ended so; they are owed a run.
    """

    judged_run: str = ""
    pauses: Mapping[str, Pause] = field(default_factory=dict)
    models: str = ""
    repaired: str = ""
    failed_again: bool = False
    not_built: ModelPauses = field(default_factory=ModelPauses)
    died: int = 0
    unfinished: tuple[str, ...] = ()

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
        self, run_id: str, *, streams: Iterable[str], failed: Mapping[str, str], now: float, models: str = ""
    ) -> "Schedule":
        """Enter the outcome of a finished run.

        Args:
            run_id: The run.
            streams: What it was asked to ingest.
            failed: Those of them that failed → why.
            now: Unix seconds.
            models: Fingerprint of the models, if the run built them as a whole and went well.
        """
        pauses = {name: pause for name, pause in self.pauses.items() if name not in set(streams)}
        for name, why in failed.items():
            pauses[name] = Pause.after(self.pauses.get(name), now=now, why=why)
        return replace(
            self,
            judged_run=run_id,
            pauses=pauses,
            models=models or self.models,
            failed_again=any(name in self.pauses for name in failed),
            died=0,
            unfinished=(),
        )

    def judge_models(
        self, *, tried: frozenset[str] | None, failed: Mapping[str, str], now: float
    ) -> "Schedule":
        """Enter what became of a run's models.

        Args:
            tried: The models that it was to build; None for all.
            failed: Those of them that failed → why.
            now: Unix seconds.
        """
        return replace(self, not_built=self.not_built.judge(tried=tried, failed=failed, now=now))

    def judge_death(
        self, run_id: str, *, streams: Sequence[str], tried: frozenset[str] | None, killed: bool, now: float
    ) -> "Schedule":
        """Enter a run that ended without naming a fault.

        The first time nobody is to blame: its streams are tried again, together. If that run dies too,
        the models may be the reason: events land without them for a while. If a run dies even without
        models, each stream is tried alone.

        Args:
            run_id: The run.
            streams: What it may have ingested.
            tried: The models that it was to build; None for all.
            killed: Whether its process died, rather than being asked to stop.
            now: Unix seconds.
        """
        died = self.died + 1 if killed else 0
        judged = replace(self, judged_run=run_id, failed_again=False, died=died, unfinished=tuple(streams))
        if died < _SUSPICIOUS_DEATHS:
            return judged
        if tried is None or tried:
            return judged.judge_models(tried=tried, failed={EVERY_MODEL: _DIED}, now=now)
        failed = dict.fromkeys(streams, _DIED)
        return replace(self.judge(run_id, streams=streams, failed=failed, now=now), died=died)

    def findings(self) -> list[Finding]:
        """What waits because it failed, streams and models."""
        stopped = {name: pause.why or "its run failed" for name, pause in self.pauses.items()}
        streams = [
            Finding("stream_paused", name, f"Stream '{name}' stopped: {why}", _REMEDY)
            for name, why in stopped.items()
        ]
        return [*streams, *self.not_built.findings()]

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
        return stream in self.pauses and not self.pauses[stream].is_over(now=now)

    def is_due(self, stream: str, *, now: float) -> bool:
        """Whether a failing stream's pause is over."""
        return stream in self.pauses and self.pauses[stream].is_over(now=now)

    def next_due(self, streams: Iterable[str], *, now: float) -> float | None:
        """When the next pause of one of these streams is over (Unix seconds); None when none is running."""
        pauses = [self.pauses[name] for name in streams if name in self.pauses]
        return min((pause.until for pause in pauses if not pause.is_over(now=now)), default=None)


_ADAPTER = TypeAdapter(Schedule)
