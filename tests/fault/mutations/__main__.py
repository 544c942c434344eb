"""`make mutants`: plant each bug, run the tests that have to notice it, print the score and the survivors."""

import argparse
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from tests.fault.mutations.found import found
from tests.fault.mutations.mutant import Mutant
from tests.fault.mutations.planted import PLANTED
from tests.fault.mutations.trial import Court, Verdict
from tests.repository import REPOSITORY


def main() -> int:
    """Returns 1 while a bug is not noticed."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("--only", default="", help="mutants whose file or name holds this text")
    parser.add_argument(
        "--found", type=int, default=len(PLANTED) // 2, help="how many of the tool's (a third of all)"
    )
    parser.add_argument("--seed", type=int, default=16, help="repeats the sample of the tool's")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 2, help="trials at a time")
    parser.add_argument(
        "--limit", type=float, default=600, help="seconds that the tests of one mutant may take"
    )
    options = parser.parse_args()
    mutants = [
        *PLANTED,
        *(found(REPOSITORY, count=options.found, seed=options.seed) if options.found else ()),
    ]
    mutants = [each for each in mutants if options.only in f"{each.file} {each.name}"]
    with tempfile.TemporaryDirectory(prefix="millrace-mutants-") as folder:
        verdicts = _try_all(mutants, Path(folder), workers=options.workers, limit=options.limit)
    return _report(verdicts)


def _try_all(mutants: Sequence[Mutant], folder: Path, *, workers: int, limit: float) -> list[Verdict]:
    courts: SimpleQueue[Court] = SimpleQueue()
    for number in range(workers):
        courts.put(Court(folder / str(number), limit_seconds=limit))

    def judge(mutant: Mutant) -> Verdict:
        court = courts.get()
        try:
            verdict = court.judge(mutant)
        finally:
            courts.put(court)
        print(f"{verdict.outcome:<9} {verdict.seconds:4.0f} s  {mutant.file}: {mutant.name}", flush=True)
        return verdict

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(judge, mutants))


def _report(verdicts: Sequence[Verdict]) -> int:
    missed = [each for each in verdicts if not each.noticed]
    for each in missed:
        print(f"\n{each.outcome.upper()} {each.mutant.file}: {each.mutant.name}")
        print(f"  {each.mutant.breaks}\n{each.output}")
    print("\n| room | mutants | noticed |\n|---|---|---|")
    rooms = Counter(str(Path(each.mutant.file).parent) for each in verdicts)
    noticed = Counter(str(Path(each.mutant.file).parent) for each in verdicts if each.noticed)
    for room, count in sorted(rooms.items()):
        print(f"| `{room}` | {count} | {noticed[room]} |")
    print(f"| all | {len(verdicts)} | {len(verdicts) - len(missed)} |")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
