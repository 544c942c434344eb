"""How long something that fails waits for its next try: ever longer, up to a bound."""

from dataclasses import dataclass

_FIRST_SECONDS = 3.0  # what was away for a moment is back by then
_LONGEST_SECONDS = 300.0


@dataclass(frozen=True)
class Pause:
    """The state of what fails.

    Attributes:
        failures: In a row.
        until: When to try again (Unix seconds).
        why: The last failure's reason, for people.
    """

    failures: int
    until: float
    why: str = ""

    @staticmethod
    def after(before: "Pause | None", *, now: float, why: str = "") -> "Pause":
        """The pause after one more failure."""
        failures = 1 if before is None else before.failures + 1
        return Pause(failures, now + min(_FIRST_SECONDS * 2 ** (failures - 1), _LONGEST_SECONDS), why)

    def is_over(self, *, now: float) -> bool:
        """Whether it is time for the next try, also after the clock was set back: no pause is so long."""
        return not now < self.until <= now + _LONGEST_SECONDS
