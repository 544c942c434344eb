"""An audit's op: when a check has failed, the run fails too, and so is logged and alerted.

Nothing is downstream of its checks, so they hold nothing back, and Dagster alone would report a success.
"""

from collections.abc import Callable, Iterator
from functools import wraps

from dagster import AssetCheckExecutionContext, AssetCheckResult, AssetCheckSeverity, Failure

Audit = Callable[[AssetCheckExecutionContext], Iterator[AssetCheckResult]]

_NAMED = 5


def fails_with_its_checks(audit: Audit) -> Audit:
    """Yield all results, then fail if one of them is an error; warnings do not count.

    Args:
        audit: The op's function.
    """

    @wraps(audit)
    def failing(context: AssetCheckExecutionContext) -> Iterator[AssetCheckResult]:
        failed: list[str] = []
        for result in audit(context):
            yield result
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
