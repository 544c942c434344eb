"""How old events are when a mart first shows them, against the budget that its model declares.

A budget is `freshness_seconds` in a dbt model's meta; breaking it is a warning and holds nothing back.
What is measured is the oldest event of the newest batches, by the broker's time stamps; where none of a batch
is plausible, from the moment at which it was read on.
"""

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime

from dagster import AssetCheckKey, AssetCheckResult, AssetCheckSeverity, AssetCheckSpec, AssetKey

from ingestion.lake.lake import Lake
from orchestration.dbt.lineage import Lineage
from orchestration.dbt.project import ParsedModels, freshness_seconds
from orchestration.keys import FRESHNESS_CHECK, WARNING

_REPORT_SECONDS = 15.0
_BATCHES = (
    "select batch_id, coalesce(min(first_event_time), min(started_at)), min(started_at), max(ingested_at) "
    "from raw.batches where stream = ? and batch_id > ? and started_at >= ? and events_landed > 0 "
    "group by batch_id order by batch_id"
)  # of one stream: files of others, and of what was shown before, are not opened


@dataclass(frozen=True)
class Budget:
    """What a mart promises.

    Attributes:
        seconds: From an event's time stamp in its broker until the mart shows it.
        needs: Stream that the mart follows from → the tables on the way, the mart among them unless it is a
            view: once all are built, the mart shows what is new.
    """

    seconds: float
    needs: Mapping[str, frozenset[AssetKey]]


@dataclass(frozen=True)
class Spent:
    """Where a batch's time went, in seconds.

    Attributes:
        waiting: From its oldest event to the batch's begin.
        reading: Until all was read and decoded.
        loading: Until the models began: the load, its checks, and other streams' batches.
        building: Until the models were built.
    """

    waiting: float
    reading: float
    loading: float
    building: float

    @property
    def total(self) -> float:
        """The whole way."""
        return self.waiting + self.reading + self.loading + self.building


def declared_budgets(parsed: ParsedModels, lineage: Lineage) -> dict[AssetKey, Budget]:
    """The budgets of the models that declare one.

    Args:
        parsed: The project.
        lineage: What follows from each stream.
    """
    declared = {lineage.keys[unique_id]: seconds for unique_id, seconds in freshness_seconds(parsed).items()}
    return {key: Budget(seconds, lineage.tables_before(key)) for key, seconds in declared.items()}


def freshness_specs(budgets: Mapping[AssetKey, Budget]) -> list[AssetCheckSpec]:
    """One check for each mart that declares a budget."""
    return [
        AssetCheckSpec(
            FRESHNESS_CHECK,
            asset=key,
            description=f"Events are in this mart within {budget.seconds:g} s of their time stamp.",
        )
        for key, budget in budgets.items()
    ]


class FreshnessMeter:
    """Measures after each build; reports the worst of each mart every few seconds.

    Args:
        budgets: Mart → its budget.
        since: Batches that were read before do not count: a rebuild shows old events late, as it should.
    """

    def __init__(self, budgets: Mapping[AssetKey, Budget], *, since: datetime) -> None:
        self._budgets = budgets
        self._since = since
        self._shown: dict[tuple[AssetKey, str], int] = {}
        self._worst: dict[AssetKey, Spent] = {}
        self._reported: dict[AssetKey, float] = {}

    def built(
        self, lake: Lake, models: AbstractSet[AssetKey], *, began_at: datetime, visible_at: datetime
    ) -> None:
        """Measure the batches that the marts now show for the first time.

        Args:
            lake: The lake.
            models: What was built. A mart that was not, or not from what is new, has shown nothing.
            began_at: When the models began, UTC.
            visible_at: When they were built, UTC.
        """
        due = [
            (key, stream, self._shown.get((key, stream), 0))
            for key, budget in self._budgets.items()
            for stream, tables in budget.needs.items()
            if tables <= models
        ]
        batches = {
            stream: self._read(lake, stream, min(last for _, each, last in due if each == stream), began_at)
            for stream in {stream for _, stream, _ in due}
        }
        for key, stream, last in due:
            new = [(batch_id, moments) for batch_id, moments in batches[stream] if batch_id > last]
            if new:
                self._shown[key, stream] = new[-1][0]
                known = [self._worst[key]] if key in self._worst else []
                spent = [_spent([*moments, visible_at]) for _, moments in new]
                self._worst[key] = max([*known, *spent], key=lambda each: each.total)

    def _read(
        self, lake: Lake, stream: str, after: int, began_at: datetime
    ) -> list[tuple[int, list[datetime]]]:
        """A stream's batches that the models could read: number, and when its parts began."""
        found = lake.query(_BATCHES, [stream, after, self._since])
        return [
            (batch_id, [*moments, read_at, began_at])
            for batch_id, *moments, read_at in found
            if read_at <= began_at
        ]

    def run(
        self, *, only: AbstractSet[AssetCheckKey] | None = None, pause_seconds: float = _REPORT_SECONDS
    ) -> Iterator[AssetCheckResult]:
        """Report the worst since the last report of each mart.

        Args:
            only: The checks that may be reported; None for all.
            pause_seconds: A mart that was reported less than this long ago waits.
        """
        now = time.monotonic()
        for key in sorted(self._worst):
            wanted = only is None or AssetCheckKey(key, FRESHNESS_CHECK) in only
            if wanted and now >= self._reported.get(key, 0.0) + pause_seconds:
                self._reported[key] = now
                yield _result(key, self._budgets[key], self._worst.pop(key))


def _spent(moments: Sequence[datetime]) -> Spent:
    """What lies between them; clocks may go back."""
    return Spent(
        *(max(0.0, (after - before).total_seconds()) for before, after in itertools.pairwise(moments))
    )


def _result(key: AssetKey, budget: Budget, spent: Spent) -> AssetCheckResult:
    good = spent.total <= budget.seconds
    return AssetCheckResult(
        check_name=FRESHNESS_CHECK,
        asset_key=key,
        passed=good,
        severity=AssetCheckSeverity.WARN,
        description=None
        if good
        else f"{WARNING}the oldest event of a batch was {spent.total:.1f} s old when this mart showed it; "
        f"its budget is {budget.seconds:g} s (waiting {spent.waiting:.1f}, reading {spent.reading:.1f}, "
        f"loading {spent.loading:.1f}, building {spent.building:.1f})",
        metadata={
            "outcome": "passed" if good else "warned",
            "measured": round(spent.total, 3),
            "threshold": f"{budget.seconds:g} s",
            "budget_seconds": budget.seconds,
            "waiting_seconds": round(spent.waiting, 3),
            "reading_seconds": round(spent.reading, 3),
            "loading_seconds": round(spent.loading, 3),
            "building_seconds": round(spent.building, 3),
        },
    )
