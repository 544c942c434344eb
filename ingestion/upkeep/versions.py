"""Which versions of the lake stay: all that are new, then the last of each hour, and those that are needed.

DuckLake's catalog knows every file that any version holds, and searches all of them for each read. Cycles of
seconds make a hundred versions a minute, so keeping each for days would slow every cycle down.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta

from ingestion.lake.lake import CATALOG_NAME, Lake

_AT_ONCE = 5_000


def versions_to_expire(
    versions: Iterable[tuple[int, datetime]],
    *,
    now: datetime,
    keep_all: timedelta,
    keep_hourly: timedelta,
    needed: Collection[int] = (),
    unread: int | None = None,
    keep_unread: timedelta = timedelta(0),
) -> list[int]:
    """Choose.

    Args:
        versions: Number and time of each version, in order.
        now: UTC.
        keep_all: Every version stays that is younger.
        keep_hourly: The last version of each hour (UTC) stays that is younger.
        needed: Versions that stay while they are younger than `keep_hourly`.
        unread: The version from which a consumer of the lake reads on; None without one.
        keep_unread: It and those after it stay that are younger.
    """
    ordered = list(versions)
    last_of_hour = {_hour(moment): number for number, moment in ordered}
    newest = ordered[-1][0] if ordered else None
    return [
        number
        for number, moment in ordered
        if number != newest
        and moment < now - keep_all
        and (moment < now - keep_hourly or (last_of_hour[_hour(moment)] != number and number not in needed))
        and (unread is None or number < unread or moment < now - keep_unread)
    ]


def read_versions(lake: Lake) -> list[tuple[int, datetime]]:
    """Number and time of each version that the lake holds, in order."""
    sql = f"select snapshot_id, snapshot_time from ducklake_snapshots('{CATALOG_NAME}') order by snapshot_id"
    return [(int(number), moment) for number, moment in lake.query(sql)]


def expire_versions(lake: Lake, doomed: Sequence[int]) -> None:
    """Expire versions, some thousand at a time; files that no other version holds are then unused."""
    for first in range(0, len(doomed), _AT_ONCE):
        chosen = ", ".join(map(str, doomed[first : first + _AT_ONCE]))
        lake.query(f"call ducklake_expire_snapshots('{CATALOG_NAME}', versions => [{chosen}])")


def _hour(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
