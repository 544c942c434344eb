"""Which models wait for their next try because they failed; an edit of the dbt project ends every pause.

Pure and serialisable, a part of the sensor's cursor. The pauses of streams are in backoff.py.
"""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field, replace

from orchestration.conditions.condition import Finding
from orchestration.keys import EVERY_MODEL
from orchestration.sensors.pause import Pause

_REMEDY = "It is tried again by itself, and at once after an edit."


@dataclass(frozen=True)
class ModelPauses:
    """What the sensor remembers of models that were not built.

    Attributes:
        failing: Model, as in marts/orders, or EVERY_MODEL → its pause.
        broken: Models that could not be parsed at the last look.
        text: The state of the project's files that this is about.
    """

    failing: Mapping[str, Pause] = field(default_factory=dict)
    broken: tuple[str, ...] = ()
    text: str = ""

    def for_project(self, text: str, *, models: Set[str], broken: Iterable[str]) -> "ModelPauses":
        """The same for the project as it is now: after an edit, what was not built is due at once.

        Args:
            text: The state of the project's files.
            models: The models that can be built.
            broken: Those that cannot.
        """
        if text == self.text:
            return self
        due = (self.failing.keys() | set(self.broken)) & (models | {EVERY_MODEL})
        return ModelPauses({name: Pause(0, 0.0) for name in sorted(due)}, tuple(sorted(broken)), text)

    def judge(self, *, tried: Set[str] | None, failed: Mapping[str, str], now: float) -> "ModelPauses":
        """Enter the outcome of a run.

        Args:
            tried: The models that it was to build; None for all.
            failed: Those of them that failed → why. What follows from a failed one waits with it.
            now: Unix seconds.
        """
        over = self.failing.keys() if tried is None else tried | ({EVERY_MODEL} if tried else set())
        failing = {name: pause for name, pause in self.failing.items() if name not in over}
        for name, why in failed.items():
            failing[name] = Pause.after(self.failing.get(name), now=now, why=why)
        return replace(self, failing=failing)

    def paused(self, *, now: float) -> frozenset[str]:
        """The models that still have to wait."""
        return frozenset(name for name, pause in self.failing.items() if not pause.is_over(now=now))

    def due(self, *, now: float) -> frozenset[str]:
        """The models whose pause is over: a run has to try them, new events or not."""
        return frozenset(self.failing) - self.paused(now=now)

    def findings(self) -> list[Finding]:
        """A finding for each model that failed."""
        return [
            Finding("model_failing", _subject(name), _sentence(name, pause.why), _REMEDY)
            for name, pause in self.failing.items()
            if pause.failures
        ]

    def next_due(self, *, now: float) -> float | None:
        """When the next pause is over (Unix seconds); None when none is running."""
        running = (pause.until for pause in self.failing.values() if not pause.is_over(now=now))
        return min(running, default=None)


def _subject(name: str) -> str:
    return "every model" if name == EVERY_MODEL else name


def _sentence(name: str, why: str) -> str:
    what = "Building the models" if name == EVERY_MODEL else f"Model {name}"
    return f"{what} failed: {why}" if why else f"{what} failed."
