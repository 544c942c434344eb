"""What trials came to, kept: an interrupted run goes on, and what has not changed is not tried again."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

Outcome = Literal["killed", "survived", "unfinished", "broken"]
DECIDED: tuple[Outcome, ...] = ("killed", "survived")


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant.

    Attributes:
        outcome: killed: a test failed by what it asserts; survived: all tests passed; unfinished: they did
            not end in time, which says nothing: somebody has to look; broken: what failed fails without the
            bug too, so nothing was judged.
        seconds: How long it took.
        by: The test that noticed.
        output: The last lines of pytest.
    """

    outcome: Outcome
    seconds: float
    by: str
    output: str


class Kept:
    """A folder of verdicts, a file each.

    Args:
        folder: Made where it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def verdict(self, key: str) -> Verdict | None:
        """What the trial with this key came to; None where it has to be held."""
        try:
            return Verdict(**json.loads((self._folder / f"{key}.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def keep(self, key: str, verdict: Verdict) -> None:
        """Keep a verdict, unless it decides nothing."""
        if verdict.outcome in DECIDED:
            fresh = self._folder / f"{key}.new"
            fresh.write_text(json.dumps(asdict(verdict)), encoding="utf-8")
            fresh.replace(self._folder / f"{key}.json")
