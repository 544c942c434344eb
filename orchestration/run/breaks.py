"""Which results of checks hold back what is downstream: errors do, warnings do not."""

from dagster import AssetCheckResult, AssetCheckSeverity


def breaks(check: AssetCheckResult) -> bool:
    """Whether a check of a raw table holds back the models downstream: errors do, warnings do not."""
    return not check.passed and check.severity == AssetCheckSeverity.ERROR
