"""`make mutants`: plant each bug, run the tests that have to notice it, print the score and the survivors."""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue

from tests.fault.mutations.equivalent import why_equivalent
from tests.fault.mutations.found import IN_OTHER_PROCESSES, found
from tests.fault.mutations.kept import Kept, Verdict
from tests.fault.mutations.mutant import Mutant
from tests.fault.mutations.planted import PARTS, PLANTED
from tests.fault.mutations.reach import Reach
from tests.fault.mutations.trial import Court
from tests.repository import REPOSITORY

KEPT = REPOSITORY / ".pytest_cache" / "mutants"
TOOLS = "found by a tool"


def main() -> int:
    """Returns 1 while a bug is not noticed."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument(
        "--only", action="append", help="bugs whose part, file or name holds this text (several times: or)"
    )
    parser.add_argument(
        "--found", type=int, default=len(PLANTED) // 2, help="how many of the tool's (a third of all)"
    )
    parser.add_argument("--seed", type=int, default=16, help="repeats the sample of the tool's")
    parser.add_argument("--workers", type=int, default=1, help="trials at a time")
    parser.add_argument(
        "--limit", type=float, default=1800, help="seconds that the tests of one bug may take"
    )
    parser.add_argument("--again", action="store_true", help="also try what was tried and has not changed")
    parser.add_argument("--kept", action="store_true", help="try nothing: report what was tried before")
    options = parser.parse_args()
    cases = [(part, each) for part, mutants in PARTS.items() for each in mutants]
    if options.found:
        tools = found(REPOSITORY, count=options.found, seed=options.seed, kept=KEPT)
        cases += [(TOOLS, each) for each in tools]
    if options.only:
        cases = [
            (part, each)
            for part, each in cases
            if any(text in f"{part} {each.file} {each.name}" for text in options.only)
        ]
    kept = Kept(KEPT)
    trials = [Trial(part, each, None if options.again else _known(kept, each)) for part, each in cases]
    if not options.kept:
        with tempfile.TemporaryDirectory(prefix="millrace-mutants-") as folder:
            trials = _try_all(trials, kept, Path(folder), workers=options.workers, limit=options.limit)
    return _report(trials)


@dataclass(frozen=True)
class Trial:
    """A bug, its part of the list, and what came of it; None: not tried."""

    part: str
    mutant: Mutant
    verdict: Verdict | None

    @property
    def came_to(self) -> str:
        """One word."""
        if why_equivalent(self.mutant):
            return "explained"
        return self.verdict.outcome if self.verdict else "not tried"


def _known(kept: Kept, mutant: Mutant) -> Verdict | None:
    return kept.verdict(mutant.key(REPOSITORY))


def _try_all(trials: Sequence[Trial], kept: Kept, folder: Path, *, workers: int, limit: float) -> list[Trial]:
    reach = Reach(KEPT / "reach")
    courts: SimpleQueue[Court] = SimpleQueue()

    def judge(trial: Trial) -> Trial:
        mutant = trial.mutant
        if trial.verdict is not None or why_equivalent(mutant):
            return trial
        court = courts.get()
        try:
            key = mutant.key(court.folder)
            verdict = Verdict("survived", 0.0, "", "no test comes to this line")
            for tests in _stages(mutant, reach, court):
                before, verdict = verdict, court.judge(mutant, tests)
                verdict = replace(verdict, seconds=before.seconds + verdict.seconds)
                if verdict.outcome != "survived":
                    break
        finally:
            courts.put(court)
        kept.keep(key, verdict)
        print(f"{verdict.outcome:<10} {verdict.seconds:4.0f} s  {mutant.file}: {mutant.name}", flush=True)
        return Trial(trial.part, mutant, verdict)

    left = [each.mutant for each in trials if each.verdict is None and not each.mutant.line]
    named = sorted({test for mutant in left for test in mutant.tests})
    made = [
        Court(folder / str(number), number=number, named=named, limit_seconds=limit)
        for number in range(workers)
    ]
    try:
        for court in made:
            courts.put(court)
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(judge, trials))
    finally:
        for court in made:
            court.close()


def _stages(mutant: Mutant, reach: Reach, court: Court) -> Iterator[Sequence[str]]:
    """Which tests run one after the other: of a tool's bug, a file at a time, those that come to its line."""
    if not mutant.line:
        yield mutant.tests
        return
    for file in mutant.tests:
        tests = (
            [file] if file in IN_OTHER_PROCESSES else reach.tests(mutant.file, mutant.line, file, court=court)
        )
        if tests:
            yield tests


def _report(trials: Sequence[Trial]) -> int:
    for trial in trials:
        mutant, verdict = trial.mutant, trial.verdict
        if trial.came_to == "explained":
            print(f"\nEXPLAINED {mutant.file}: {mutant.name}\n  {why_equivalent(mutant)}")
        elif trial.came_to != "killed":
            print(f"\n{trial.came_to.upper()} {mutant.file}: {mutant.name}\n  {mutant.breaks}")
            print(verdict.output if verdict else "")
    print("\n| part | bugs | noticed | survived | explained | open |\n|---|---|---|---|---|---|")
    parts = list(dict.fromkeys(trial.part for trial in trials))
    for part in (*parts, None):
        came = [trial.came_to for trial in trials if part in (trial.part, None)]
        counts = [came.count(word) for word in ("killed", "survived", "explained")]
        row = [part or "all", len(came), *counts, len(came) - sum(counts)]
        print(f"| {' | '.join(map(str, row))} |")
    return 0 if all(trial.came_to in ("killed", "explained") for trial in trials) else 1


if __name__ == "__main__":
    sys.exit(main())
