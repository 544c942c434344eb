"""An audit's op: when a check has failed, the run fails too, and so is logged and alerted.

Nothing is downstream of its checks, so they hold nothing back, and Dagster alone would report a success.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import wraps

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    Failure,
    MetadataValue,
)

from orchestration.keys import RUNS_METADATA

Audit = Callable[[AssetCheckExecutionContext], Iterator[AssetCheckResult]]

_NAMED = 5
_HOURLY = {RUNS_METADATA: MetadataValue.text("hourly")}


def hourly(specs: Iterable[AssetCheckSpec]) -> list[AssetCheckSpec]:
    """The specs, with the note that their checks run by the schedule and not with every build."""
    return [spec._replace(metadata={**(spec.metadata or {}), **_HOURLY}) for spec in specs]


def fails_with_its_checks(audit: Audit) -> Audit:
    """Yield all results as hourly ones, then fail if one of them is an error; warnings do not count.

    Args:
        audit: The op's function.
    """

    @wraps(audit)
    def failing(context: AssetCheckExecutionContext) -> Iterator[AssetCheckResult]:
        failed: list[str] = []
        for result in audit(context):
            yield result._replace(metadata={**result.metadata, **_HOURLY})
            if not result.passed and result.severity == AssetCheckSeverity.ERROR:
                failed.append(_named(result))
        if failed:
            more = f" and {len(failed) - _NAMED} more" if len(failed) > _NAMED else ""
            raise Failure(
                f"the audit failed: {'; '.join(failed[:_NAMED])}{more}; "
                "the checks in the web UI have the measured values and the SQL",
                allow_retries=False,
            )

    return failing


def _named(result: AssetCheckResult) -> str:
    asset = result.asset_key.to_user_string() if result.asset_key else "an asset"
    return f"{result.check_name} of {asset} ({(result.description or 'no message').rstrip('.')[:200]})"
