"""One step of the drill and the count after it: the sender's record against what readers of the lake see.

What a step breaks is in drill_steps.py, sending in drill_sender.py.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import duckdb

from ingestion.errors import MillraceError
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import prove
from ingestion.settings import Settings
from orchestration.demo.drill_alert import MART, Followed
from orchestration.demo.drill_sender import Sent
from orchestration.demo.drill_steps import Stage, Step
from orchestration.demo.streams import PlantStream
from orchestration.keys import FRESHNESS_CHECK
from orchestration.records.reader import DagsterRecords

FIRST_SECONDS = 90.0  # seeds and every model are built
HEALED_SECONDS = 60.0
_GOES_ON_SECONDS = 3.0


@dataclass(frozen=True)
class Count:
    """One stream: what its broker acknowledged, and what readers of the lake see.

    Attributes:
        stream: Its name.
        sent: Distinct events that the broker acknowledged.
        landed: Distinct events in staging.
        again: Further deliveries of an event, kept in raw and left out of staging; of a sender with keys
            there are none.
        rejected: Rows of raw.rejects.
        lost: Acknowledged events that are not in staging.
        twice: Events that staging or the marts hold twice, and positions that raw holds twice; of a sender
            with keys also events.
        strange: Events in staging that were never sent.
        in_marts: Events that the marts count.
        malformed: Messages sent that hold no event.
        defects: What the ledger's proof finds.
    """

    stream: str
    sent: int
    landed: int
    again: int
    rejected: int
    lost: int
    twice: int
    strange: int
    in_marts: int
    malformed: int
    defects: int

    @property
    def holds(self) -> bool:
        """Whether nothing is lost, doubled, invented or unaccounted for."""
        wrong = self.lost + self.twice + self.strange + self.defects
        return not wrong and self.in_marts == self.landed and self.rejected == self.malformed

    @property
    def sentence(self) -> str:
        """What does not hold, in words."""
        wrong = {
            "lost": self.lost,
            "twice": self.twice,
            "never sent": self.strange,
            "defects in the ledger": self.defects,
        }
        parts = [f"{number} {what}" for what, number in wrong.items() if number]
        if self.in_marts != self.landed:
            parts.append(f"{self.in_marts} in the marts of {self.landed} in staging")
        if self.rejected != self.malformed:
            parts.append(f"{self.rejected} rejected of {self.malformed} malformed")
        return f"{self.stream}: {', '.join(parts)}"


def count(lake: Lake, sent: Mapping[PlantStream, Sent]) -> tuple[Count, ...]:
    """Compare; the sender pauses meanwhile."""
    return tuple(_count(lake, stream, record) for stream, record in sent.items())


def _count(lake: Lake, stream: PlantStream, sent: Sent) -> Count:
    ids = [row[0] for row in lake.query(f"select {stream.id_field} from {stream.staging}")]
    found = set(ids) - {None}  # a tombstone has no id
    events = [each for each in ids if each is not None]
    rows, doubled = lake.query(
        "select coalesce(sum(n), 0), coalesce(sum(n - 1), 0) from "
        f"(select count(*) as n from raw.{stream.name} "
        "where payload is not null group by source_partition, position)"
    )[0]
    rejected = lake.query("select count(*) from raw.rejects where stream = ?", [stream.name])[0][0]
    in_marts = int(lake.query(stream.counts)[0][0])
    again = int(rows) - len(found)
    repeated = again if stream.is_keyed else int(doubled)
    return Count(
        stream=stream.name,
        sent=len(sent.acknowledged),
        landed=len(found),
        again=again,
        rejected=int(rejected),
        lost=len(sent.acknowledged - found),
        twice=len(events) - len(found) + repeated + max(0, in_marts - len(found)),
        strange=len(found - sent.offered),
        in_marts=in_marts,
        malformed=sent.spoiled,
        defects=len(prove(lake, stream.name).defects),
    )


@dataclass(frozen=True)
class Outcome:
    """One step's end.

    Attributes:
        step: Which.
        broken: What was done, in words.
        alert: The one that was to be seen, and how fast; None where there was none.
        counts: Of each stream; empty when the lake could not be read in time.
        seconds: From the fault, or from a machine's repair, until everything was in the marts; None when
            that took too long.
    """

    step: Step
    broken: str
    alert: Followed | None = None
    counts: tuple[Count, ...] = ()
    seconds: float | None = None

    @property
    def counts_hold(self) -> bool:
        """Whether each stream's count held."""
        return bool(self.counts) and all(each.holds for each in self.counts)

    @property
    def problems(self) -> tuple[str, ...]:
        """What did not hold, as sentences; empty where everything did."""
        wrong = [each.sentence for each in self.counts if not each.holds]
        wrong += self.alert.problems() if self.alert is not None else ()
        if not self.counts:
            wrong.append("the lake could not be read in time")
        return tuple(wrong)

    @property
    def holds(self) -> bool:
        """Whether everything held."""
        return not self.problems


def take(step: Step, stage: Stage, settings: Settings, *, within_seconds: float) -> Outcome:
    """Inflict, let the sender go on, then wait until everything that it sent is where it belongs.

    Args:
        step: What to break.
        stage: Where.
        settings: The running system's.
        within_seconds: How long that may take.
    """
    began = time.monotonic()
    outcome = Outcome(step, step.inflict(stage))
    if step.alert is not None:
        outcome = replace(outcome, alert=Followed(step.alert(stage), _promised(settings)))
        began = time.monotonic()
    going_on = time.monotonic() + _GOES_ON_SECONDS
    stage.wait(lambda: time.monotonic() >= going_on, seconds=_GOES_ON_SECONDS + 1)
    stage.sender.pause()
    lake = Lake(settings, read_only=True)

    def counted() -> bool:
        nonlocal outcome
        try:
            outcome = replace(outcome, counts=count(lake, stage.sender.sent))
        except (MillraceError, duckdb.Error):
            lake.close()  # not built yet, or the catalog is unreachable for a moment: look again
        return outcome.counts_hold

    try:
        if stage.wait(counted, seconds=within_seconds):
            outcome = replace(outcome, seconds=time.monotonic() - began)
    finally:
        lake.close()
    stage.sender.resume()
    return outcome


def _promised(settings: Settings) -> float | None:
    """Seconds from an event until the mart of alerts shows it, as the running system reports its budget."""
    records = DagsterRecords(settings)
    try:
        checks = {(each.asset, each.check): each for each in records.latest_checks()}
    finally:
        records.close()
    found = checks.get((MART, FRESHNESS_CHECK))
    return found.numbers.get("budget_seconds") if found is not None else None
