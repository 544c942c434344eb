"""What failed in an earlier cycle of a run stays visible when a later cycle passes it.

Dagster keeps one result a run of each check, the last one: what takes the place of a failure says so.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from dagster import AssetCheckEvaluation, AssetCheckResult, AssetCheckSeverity, AssetKey

from ingestion.clock import utc_now
from orchestration.keys import NOTE


class EarlierFailures:
    """Of one run."""

    def __init__(self) -> None:
        self._failed: dict[tuple[AssetKey | None, str | None], tuple[int, datetime, str]] = {}

    def remembered(self, events: Iterable[Any]) -> Iterator[Any]:
        """Pass events on; a check that passes says how often it failed in this run before, when last and why.

        Args:
            events: What a step yields, in order.
        """
        for event in events:
            if isinstance(event, AssetCheckResult | AssetCheckEvaluation):
                yield self._judged(event)
            else:
                yield event

    def _judged(self, check: AssetCheckResult | AssetCheckEvaluation) -> Any:
        key = check.asset_key, check.check_name
        times, at, why = self._failed.get(key, (0, utc_now(), ""))
        if not check.passed:
            if check.severity == AssetCheckSeverity.ERROR:
                self._failed[key] = times + 1, utc_now(), check.description or "it failed"
            return check
        if not times:
            return check
        earlier = f"failed {times:,} time(s) in this run before, last at {at:%H:%M:%S} UTC: {why}"
        return type(check)(
            asset_key=check.asset_key,  # type: ignore[arg-type]
            check_name=check.check_name,  # type: ignore[arg-type]
            passed=True,
            severity=check.severity,
            metadata={**(check.metadata or {}), "failed_before": times, "failed_earlier": earlier},
            description=f"{NOTE}passes now; {earlier}",
        )
