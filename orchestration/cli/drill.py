"""`millrace drill`: a demo system is broken on purpose, and every event is counted after each step.

What is broken and what is counted is in orchestration/demo/drill.py.
"""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
from rich.text import Text

from ingestion.errors import MillraceError
from ingestion.lake.lake import Lake
from ingestion.settings import PROJECT_DIR, load_settings
from orchestration.cli.context import Globals, err, out
from orchestration.cli.demo import demo_runtime
from orchestration.cli.live import interruptible, progress
from orchestration.cli.tables import table
from orchestration.demo.drill import STEPS, Count, Stage, Step, count
from orchestration.demo.drill_sender import DrillSender
from orchestration.demo.folder import require_demo_folder, wipe
from orchestration.services.kafka import EmbeddedKafka
from orchestration.services.mqtt import EmbeddedMqtt
from orchestration.system.data_folder import require_usable
from orchestration.system.lock import only_system
from orchestration.system.running import System

_FIRST_SECONDS = 90.0  # seeds and every model are built
_HEALED_SECONDS = 60.0
_GOES_ON_SECONDS = 3.0
_NUMBERS = ("sent", "landed", "again", "rejected", "lost", "twice")


@dataclass(frozen=True)
class Outcome:
    """One step's end.

    Attributes:
        step: Which.
        broken: What was done, in words.
        counts: Of each stream; empty when the lake could not be read in time.
        seconds: From the fault until everything was in the marts; None when it was not in time.
    """

    step: Step
    broken: str
    counts: tuple[Count, ...] = ()
    seconds: float | None = None

    @property
    def holds(self) -> bool:
        """Whether everything held."""
        return bool(self.counts) and all(each.holds for each in self.counts)


def drill(options: Globals) -> int:
    """Run all steps on a system in a folder of its own.

    Returns:
        The exit code: 1 when something did not hold.
    """
    chosen = options.settings().data_dir
    folder = chosen if options.data_dir is not None else chosen.with_name(f"{chosen.name}-drill")
    require_demo_folder(folder)
    require_usable(folder)
    with only_system(folder), interruptible(), suppress(KeyboardInterrupt):
        wipe(folder)
        outcomes = _run(folder)
        bad = [outcome for outcome in outcomes if not outcome.holds]
        _show(outcomes)
        return int(bool(bad))
    return 130


def _run(folder: Path) -> list[Outcome]:
    kafka, mqtt = EmbeddedKafka(folder / "brokers"), EmbeddedMqtt(folder / "brokers")
    runtime = demo_runtime(kafka, mqtt)
    settings = load_settings(data_dir=folder, catalog=None, dagster_catalog=None, **runtime)
    seed = PROJECT_DIR / "dbt_project" / "seeds" / "machines.csv"
    sender = DrillSender(seed, mqtt_port=mqtt.port, kafka_servers=kafka.bootstrap_servers)
    system = System(
        settings, mode="demo", ui=False, progress=progress, brokers=[kafka, mqtt], runtime=runtime,
        senders=[sender],
    )  # fmt: skip

    def pids() -> Mapping[str, int | None]:
        return {row.name: row.pid for row in system.check(time.monotonic())}

    stage = Stage(folder, sender, pids)
    try:
        system.start()
        outcomes = []
        for number, step in enumerate(STEPS):
            outcomes.append(_take(step, stage, system, first=not number))
            _tell(outcomes[-1], number)
        return outcomes
    finally:
        out.print("stopping …")
        system.stop()


def _take(step: Step, stage: Stage, system: System, *, first: bool) -> Outcome:
    """Inflict, let the plant go on, then wait until everything that it sent is where it belongs."""
    with err.status(f"{step.title} …"):
        began = time.monotonic()
        outcome = Outcome(step, step.inflict(stage))
        going_on = time.monotonic() + _GOES_ON_SECONDS
        stage.wait(lambda: time.monotonic() >= going_on, seconds=_GOES_ON_SECONDS + 1)
        stage.sender.pause()
        lake = Lake(system.settings, read_only=True)

        def counted() -> bool:
            nonlocal outcome
            try:
                outcome = replace(outcome, counts=count(lake, stage.sender.sent))
            except (MillraceError, duckdb.Error):
                lake.close()  # not built yet, or the catalog is just away: look again
            return outcome.holds

        try:
            if stage.wait(counted, seconds=_FIRST_SECONDS if first else _HEALED_SECONDS):
                outcome = replace(outcome, seconds=time.monotonic() - began)
        finally:
            lake.close()
        stage.sender.resume()
    return outcome


def _tell(outcome: Outcome, number: int) -> None:
    held = Text("held", "green") if outcome.holds else Text("did not hold", "red")
    after = "" if outcome.seconds is None else f", all of it in the marts after {outcome.seconds:.1f} s"
    out.print(
        Text.assemble((f"{number}. {outcome.step.title}", "bold"), f": {outcome.broken}; ", held, after)
    )


def _show(outcomes: list[Outcome]) -> None:
    """Every step's counts, both streams added up."""
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
        out.print(Text(f"  {outcome.step.title}: {_why(outcome)}", "red"))
    if not bad:
        out.print(Text("Good: every acknowledged event is in the lake, once, whatever broke.", "green"))


def _why(outcome: Outcome) -> str:
    if not outcome.counts:
        return "the lake could not be read in time"
    return "; ".join(str(each) for each in outcome.counts if not each.holds)
