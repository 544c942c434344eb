"""From a machine's fault to the receiver's acceptance of its alert, by hop, through a whole running system.

It is the drill's: real brokers, collectors, runs, models and reactions. A press breaks down, its alert is
followed to the demo's receiver, it is repaired, and again. The hops are what `millrace reactions hops` shows.
Usage: python -m benchmarks.reaction_hops [ALERTS]
"""

import argparse
import json
import os
import random
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from orchestration.conditions.rule_alerts import subject_of
from orchestration.demo.drill import FIRST_SECONDS, take
from orchestration.demo.drill_alert import KIND, RULE
from orchestration.demo.drill_steps import STEPS, Stage
from orchestration.demo.drill_system import drill_system
from orchestration.demo.folder import wipe
from orchestration.reactions.entries import read_ledger
from orchestration.reactions.hops import journeys, spreads
from orchestration.system.lock import only_system
from tests.repository import REPOSITORY

_PATIENCE_SECONDS = 120.0


def measured(folder: Path, count: int) -> dict[str, object]:
    """Break a press so often; the hops of these alerts by reaction, and how busy the machine was."""
    loads, subjects = [os.getloadavg()[0]], set[str]()
    with only_system(folder):
        wipe(folder)
        system, stage = drill_system(folder, project=REPOSITORY, progress=lambda _: None)
        try:
            system.start()
            take(STEPS[0], stage, system.settings, within_seconds=2 * FIRST_SECONDS)
            for number in range(count):
                broken = stage.sender.break_machine(KIND)
                subject = subject_of(RULE, broken.machine.machine_id)
                subjects.add(subject)
                _await(stage, folder, subject, "condition_opened")
                broken.repair()
                _await(stage, folder, subject, "condition_closed")
                pause_s, begun = random.uniform(1, 4), time.monotonic()  # a fault comes at any moment
                stage.wait(lambda: time.monotonic() - begun > pause_s, seconds=pause_s + 1)  # noqa: B023
                loads.append(os.getloadavg()[0])
                print(f"{number + 1} of {count}, load {loads[-1]:.1f}", file=sys.stderr)
        finally:
            system.stop()
    found = journeys(read_ledger(folder).entries.values())
    return {
        "load": [round(min(loads), 1), round(max(loads), 1)],
        **{
            reaction: {"alerts": len(of), "hops": [asdict(each) for each in spreads(of)]}
            for reaction in sorted({each.reaction for each in found})
            for of in [[each for each in found if each.reaction == reaction and each.subject in subjects]]
        },
    }


def _await(stage: Stage, folder: Path, subject: str, event: str) -> None:
    """Wait until the last alert about a subject that the receiver's reaction got is of this event."""

    def is_last() -> bool:
        contents = [
            each.notice.content
            for each in read_ledger(folder).entries.values()
            if each.notice.reaction == "pager" and each.state == "delivered"
        ]
        events = [each["event"] for each in contents if each["subject"] == subject]
        return bool(events) and events[-1] == event

    if not stage.wait(is_last, seconds=_PATIENCE_SECONDS):
        raise SystemExit(f"not within {_PATIENCE_SECONDS:g} s: {event} of {subject}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("alerts", type=int, nargs="?", default=20, help="how many; 20 by default")
    count = parser.parse_args().alerts
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "data"
        place.mkdir(mode=0o700)
        print(json.dumps(measured(place, count), indent=2))


if __name__ == "__main__":
    main()
