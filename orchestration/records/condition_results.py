"""Old results of the conditions' checks in Dagster's storage: no run takes them along when it is purged.

Each change of a condition is such a result (observe/ui.py); Dagster keeps them for ever.
"""

from dagster import AssetKey, DagsterInstance
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable, SqlEventLogStorageTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from sqlalchemy import func, select

from orchestration.conditions.kinds import CONDITIONS_ASSET

_KEPT = 200
_MOST_AT_ONCE = 20_000


def purge_results(instance: DagsterInstance, *, keep: int = _KEPT) -> int:
    """Delete the oldest results of each check.

    Args:
        instance: Dagster's instance.
        keep: How many of the newest results of each check stay.

    Returns:
        How many were deleted.
    """
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        return 0
    results, events = AssetCheckExecutionsTable.c, SqlEventLogStorageTable.c
    newest_first = func.row_number().over(partition_by=results.check_name, order_by=results.id.desc())
    key = AssetKey.from_user_string(CONDITIONS_ASSET).to_string()
    counted = (
        select(results.id, results.evaluation_event_storage_id.label("event"), newest_first.label("number"))
        .where(results.asset_key == key)
        .subquery()
    )
    old = select(counted.c.id, counted.c.event).where(counted.c.number > keep).limit(_MOST_AT_ONCE)
    with storage.index_connection() as connection:
        found = connection.execute(old).fetchall()
        numbers, recorded = [row[0] for row in found], [row[1] for row in found]
        connection.execute(AssetCheckExecutionsTable.delete().where(results.id.in_(numbers)))
        connection.execute(SqlEventLogStorageTable.delete().where(events.id.in_(recorded)))
    return len(found)
