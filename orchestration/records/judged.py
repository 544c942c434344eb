"""Which checks judged a table as it was in a version of the lake: of each, the first result from there on."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime

from orchestration.records.reader import CheckRecord, DagsterRecords, check_record

_FIRST = """
select distinct on (check_name)
    asset_key, check_name, execution_status, evaluation_event, evaluation_event_timestamp
from asset_check_executions
where
    asset_key = %s and execution_status <> 'PLANNED' and evaluation_event_timestamp >= %s
    and coalesce(
        substring(evaluation_event from '"snapshot_id":\\s*\\{[^{}]*"value":\\s*([0-9]+)')::bigint, %s
    ) >= %s
order by check_name, id
"""


def checks_of(
    records: DagsterRecords, asset: str, *, since: datetime, version: int | None
) -> list[CheckRecord]:
    """The first result of each check of an asset.

    Args:
        records: Dagster's storage.
        asset: The asset's key, with slashes.
        since: When the asset had what is to be judged, UTC.
        version: The lake's version in which it had it; a result that names an older one is left out.
    """
    key, wanted = json.dumps(asset.split("/")), version or 0
    rows = records.query(_FIRST, (key, since.astimezone(UTC).replace(tzinfo=None), wanted, wanted))
    return [check_record(*row) for row in rows]


def last_check(checks: Iterable[CheckRecord]) -> datetime | None:
    """When the last of some checks had judged."""
    return max((each.checked_at for each in checks), default=None)
