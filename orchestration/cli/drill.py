"""`millrace drill`: a demo system is broken on purpose, and every event is counted after each step.

What is broken is in orchestration/demo/drill_steps.py, what is counted in orchestration/demo/drill.py.
"""

from contextlib import suppress
from pathlib import Path

from rich.text import Text

from orchestration.cli.context import Globals, err, out
from orchestration.cli.live import interruptible, progress
from orchestration.cli.tables import table
from orchestration.demo.drill import FIRST_SECONDS, HEALED_SECONDS, Outcome, take
from orchestration.demo.drill_steps import STEPS
from orchestration.demo.drill_system import drill_system
from orchestration.demo.folder import require_demo_folder, wipe
from orchestration.demo.project import plant_project
from orchestration.system.data_folder import require_usable
from orchestration.system.lock import only_system

_NUMBERS = ("sent", "landed", "again", "rejected", "lost", "twice")


def drill(options: Globals) -> int:
    """Run all steps on a system in its own folder.

    Returns:
        The exit code: 1 when something did not hold.
    """
    current = options.settings(needs_project=False)
    chosen = current.data_dir
    folder = chosen if options.data_dir is not None else chosen.with_name(f"{chosen.name}-drill")
    require_demo_folder(folder)
    require_usable(folder)
    with only_system(folder), interruptible(), suppress(KeyboardInterrupt):
        wipe(folder)
        outcomes = _run(folder, plant_project(current.replaced(data_dir=folder)))
        bad = [outcome for outcome in outcomes if not outcome.holds]
        _show(outcomes)
        return int(bool(bad))
    return 130


def _run(folder: Path, project: Path) -> list[Outcome]:
    system, stage = drill_system(folder, project=project, progress=progress)
    try:
        system.start()
        outcomes: list[Outcome] = []
        for number, step in enumerate(STEPS):
            within = HEALED_SECONDS if number else FIRST_SECONDS
            with err.status(f"{step.title} …"):
                outcomes.append(take(step, stage, system.settings, within_seconds=within))
            _show_step(outcomes[-1], number)
        return outcomes
    finally:
        out.print("stopping …")
        system.stop()


def _show_step(outcome: Outcome, number: int) -> None:
    verdict = Text("held", "green") if outcome.holds else Text("did not hold", "red")
    after = "" if outcome.seconds is None else f", all of it in the marts after {outcome.seconds:.1f} s"
    out.print(
        Text.assemble((f"{number}. {outcome.step.title}", "bold"), f": {outcome.broken}; ", verdict, after)
    )
    for sight in outcome.alert.sights if outcome.alert is not None else ():
        opened, closed = _seconds(sight.opened_s), _seconds(sight.closed_s)
        out.print(f"   {sight.surface}: the alert {opened} the fault, its end {closed} the repair")


def _seconds(found: float | None) -> str:
    return "never after" if found is None else f"{found:.1f} s after"


def _show(outcomes: list[Outcome]) -> None:
    """Every step's counts, all streams added up."""
    rows = table("step", *_NUMBERS, "seconds", "verdict", right=(*_NUMBERS, "seconds"))
    for outcome in outcomes:
        sums = [str(sum(getattr(each, name) for each in outcome.counts)) for name in _NUMBERS]
        seconds = "-" if outcome.seconds is None else f"{outcome.seconds:.1f}"
        verdict = Text("held", "green") if outcome.holds else Text("did not hold", "red")
        rows.add_row(outcome.step.title, *sums, seconds, verdict)
    out.print()
    out.print(rows)
    bad = [outcome for outcome in outcomes if not outcome.holds]
    for outcome in bad:
        for problem in outcome.problems:
            out.print(Text(f"  {outcome.step.title}: {problem}", "red"))
    if not bad:
        good = (
            "Good: every acknowledged event is in the lake exactly once, after every fault, and the broken "
            "machine's alert and its end were everywhere within the budget of their mart."
        )
        out.print(Text(good, "green"))
