"""What raw and staging made of single events; a whole stream is counted in recount.py."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.land.rejects import list_rejects
from ingestion.watch.queries import business_key, contents
from ingestion.watch.raw_events import MESSAGE_ID, message_id

_MOST_ELEMENTS = 20


@dataclass(frozen=True)
class Fate:
    """What became of an event.

    Attributes:
        batch_id: The batch that landed it in raw; None when it did not land.
        reject: Why it was rejected; empty otherwise.
        staged: Its row in staging, without the columns that repeat the event; None when it has none. Of an
            array that of its first element, with how many there are.
        elements: The rows of all its elements, where it is an array; the first 20.
        why_not: Why staging has no row, as a clause; empty when it has one.
        kept: The event that staging keeps in its place, because it has the same business id; empty without.
        is_conflict: That one has another payload.
        is_waiting: Staging has not taken in its batch yet.
        cut: Field → the time that was sent, where staging cuts what is finer than a microsecond.
    """

    batch_id: int | None = None
    reject: str = ""
    staged: Mapping[str, Any] | None = None
    elements: tuple[Mapping[str, Any], ...] = ()
    why_not: str = ""
    kept: str = ""
    is_conflict: bool = False
    is_waiting: bool = False
    cut: Mapping[str, str] = field(default_factory=dict)


@dataclass
class _Found:
    raw: dict[str, tuple[int, bool, str | None, int | None]] = field(default_factory=dict)
    rejects: dict[str, str] = field(default_factory=dict)
    staged: dict[str, dict[str, Any]] = field(default_factory=dict)
    elements: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    first: dict[str, tuple[str, int]] = field(default_factory=dict)
    newest: int = 0
    has_staging: bool = False


def fates(lake: Lake, stream: Stream, positions: Sequence[tuple[str, int]]) -> dict[str, Fate]:
    """What became of some events.

    Args:
        lake: The lake, which may be read-only.
        stream: Their stream.
        positions: Partition and position of each.

    Returns:
        Event id → its fate.
    """
    ids = [f"{partition}@{position}" for partition, position in positions]
    there = lake.tables()
    found = _Found(has_staging=("staging", f"stg_{stream.name}") in there)
    if ids and ("raw", stream.name) in there:
        lowest, highest = min(at for _, at in positions), max(at for _, at in positions)
        within = f"position between {lowest} and {highest} and event_id in (select unnest(?::varchar []))"
        _read_raw(lake, stream, within, ids, found)
        if found.has_staging:
            _read_staging(lake, stream, within, ids, found)
    return {event_id: _fate(event_id, stream, found) for event_id in ids}


def _read_raw(lake: Lake, stream: Stream, within: str, ids: list[str], found: _Found) -> None:
    # What identifies elements is in each of them.
    key, compared = (
        ("null::varchar", "payload") if stream.elements else (business_key(stream), contents(stream))
    )
    sql = (
        f"select event_id, batch_id, payload is null, {key}, md5_number_lower({compared}) "
        f'from raw."{stream.name}" where {within}'
    )
    found.raw = {row[0]: (int(row[1]), bool(row[2]), row[3], row[4]) for row in lake.query(sql, [ids])}
    rejects = list_rejects(lake, stream.name, event_ids=ids, open_only=False)
    found.rejects = {each.event_id: f"{each.reason} ({each.outcome})" for each in rejects}


def _read_staging(lake: Lake, stream: Stream, within: str, ids: list[str], found: _Found) -> None:
    table = f'staging."stg_{stream.name}"'
    known = {"source_partition", "position", "event_id", "event_key", "ingested_at", "payload_hash"}
    of_messages = within.replace("event_id", MESSAGE_ID)
    rows = lake.query_arrow(f"select * from {table} where {of_messages}", [ids]).to_pylist()
    elements = Counter(message_id(row["event_id"]) for row in rows)
    for row in sorted(rows, key=lambda row: (len(row["event_id"]), row["event_id"])):
        event_id = message_id(row["event_id"])
        shown = {name: value for name, value in row.items() if name not in known}
        if shown.get("clock_ahead_seconds", 0) is None:
            del shown["clock_ahead_seconds"]
        several = {"elements": elements[event_id]} if event_id != row["event_id"] else {}
        found.staged.setdefault(event_id, several | shown)
        if several and len(known_elements := found.elements.setdefault(event_id, [])) < _MOST_ELEMENTS:
            known_elements.append(shown)
    found.newest = int(lake.query(f"select coalesce(max(batch_id), 0) from {table}")[0][0])
    missing = [key for at, (_, _, key, _) in found.raw.items() if at not in found.staged and key is not None]
    if missing:
        sql = (
            "select business_key, event_id, md5_number_lower(contents) "
            f"from (select {business_key(stream)} as business_key, event_id, {contents(stream)} as contents "
            f'from raw."{stream.name}") where business_key in (select unnest(?::varchar [])) '
            f"and event_id in (select {MESSAGE_ID} from {table})"
        )
        found.first = {key: (event_id, payload) for key, event_id, payload in lake.query(sql, [missing])}


def _fate(event_id: str, stream: Stream, found: _Found) -> Fate:
    reject = found.rejects.get(event_id, "")
    if event_id not in found.raw:
        return Fate(reject=reject)
    batch, is_tombstone, key, payload = found.raw[event_id]
    staged = found.staged.get(event_id)
    why, kept, is_conflict = "", "", False
    if staged is None and not found.has_staging:
        why = f"there is no model stg_{stream.name} yet"
    elif staged is None and is_tombstone:
        why = "a tombstone is left out"
    elif staged is None and key is not None and key in found.first:
        kept, its_payload = found.first[key]
        why = f"{kept} has the same {', '.join(stream.business_id)} and came first"
        is_conflict = payload != its_payload
        if is_conflict:
            why = (
                f"{kept} has the same {', '.join(stream.business_id)} and another payload: "
                f"a conflict, decided by on_conflict: {stream.on_conflict}"
            )
    elif staged is None and stream.elements is not None and batch <= found.newest:
        why = "all its elements came before, by their business ids, or are missing: 'millrace verify' counts"
    elif staged is None:
        why = f"not built yet: it holds batches up to {found.newest}" if batch > found.newest else "missing"
    is_waiting = bool(why) and not kept and not is_tombstone and batch > found.newest
    elements = tuple(found.elements.get(event_id, ()))
    return Fate(batch, reject, staged, elements, why, kept, is_conflict, is_waiting)
