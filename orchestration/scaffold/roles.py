"""Which of the proposed fields is an event's own time, and which identify it. Each with its reason."""

import re
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations

import duckdb

from orchestration.dbt.casts import typed_value
from orchestration.scaffold.beside import choices
from orchestration.scaffold.propose import Proposed

_LEAST_SHARE = 0.9
_FEW = 20
_LIKELY_TIMES = re.compile(
    r"(^|_)(occurred|event|measured|observed|recorded|sampled|sent|emitted|timestamp|ts|time)($|_)"
)
_OTHER_TIMES = re.compile(
    r"(^|_)(updated|modified|due|expire[sd]?|expires|expiry|until|birth|born|valid|planned|scheduled|end|start)"
)
_IDENTIFIERS = re.compile(r"(^|_)(id|uuid|guid)$")
_EVENTS = re.compile(
    r"(^|(event|message|msg|reading|record|measurement|transaction|request|log)_)(id|uuid|guid)$"
)
_THINGS = re.compile(
    r"(^|_)(device|sensor|machine|station|node|host|unit|vehicle|meter|line|site|user|customer|client|tenant"
    r"|source|name|type|kind)($|_)"
)
"""Names of things that send many events: alone they identify none of them."""
_NUMBERS = re.compile(r"(^|_)(number|no|nr|num|serial|ref|reference|key|code)$")
_LIKE_AN_IDENTIFIER = re.compile(r"(?=.*\d)[\w.:/+=-]{1,64}", re.ASCII)
"""A word with a digit, as in INV-2026/17."""
_TEXTS = ("varchar", "bigint", "decimal(38,0)")


@dataclass(frozen=True)
class Role:
    """Fields with a role.

    Attributes:
        names: The fields; empty when none has it.
        reason: Why these, or what is missing.
    """

    names: tuple[str, ...]
    reason: str


def find_event_time(fields: Sequence[Proposed], *, sent_at: Sequence[datetime | None]) -> Role:
    """The time of the event itself.

    Args:
        fields: With the values of the sample.
        sent_at: The broker's time of each message.
    """
    total = len(sent_at)
    candidates = [
        field
        for field in fields
        if field.type == "timestamp" and total and _present(field) >= _LEAST_SHARE * total
    ]
    if not candidates:
        return Role((), "no field is a time in every message, so the broker's time counts")
    distances = {field.name: _distance(field, sent_at) for field in candidates}

    def order(field: Proposed) -> tuple[bool, bool, float, int]:
        unlikely = bool(_OTHER_TIMES.search(field.name))
        return (unlikely, not _LIKELY_TIMES.search(field.name), abs(distances[field.name]), -_present(field))

    best = min(candidates, key=order)
    distance = distances[best.name]
    before = f"{_span(abs(distance))} {'before' if distance >= 0 else 'after'} the broker's"
    others = [field.name for field in candidates if field is not best]
    rather = f"; {', '.join(others)} would do, too" if others else ""
    return Role((best.name,), f"in {_present(best)} of {total}, {before}{rather}")


def find_business_id(
    fields: Sequence[Proposed],
    payloads: Sequence[str],
    *,
    event_time: str | None,
    beside: Sequence[Proposed] = (),
) -> Role:
    """The fields by which a second delivery of an event is recognised.

    Args:
        fields: With the values of the sample.
        payloads: The messages, in the same order.
        event_time: The field with the event's own time.
        beside: Fields that are not in the payload, for when it holds nothing that would do.
    """
    total = len(payloads)
    known = {field.name: field for field in (*fields, *beside)}
    enough = total >= _FEW
    within = _choices(fields, event_time, enough=enough)
    for names in (*within, *choices(beside, event_time, enough=enough)):
        keys = list(zip(*(known[name].texts for name in names), strict=True))
        if not all(None not in key for key in keys):
            continue
        again: defaultdict[tuple[str | None, ...], set[str]] = defaultdict(set)
        for key, payload in zip(keys, payloads, strict=True):
            again[key].add(payload)
        if all(len(same) == 1 for same in again.values()) and (len(again) > 1 or total == 1):
            seen = f"of {total}" if len(again) == total else f"messages, {total - len(again)} more came twice"
            few = "; the sample is small, look again" if total < _FEW else ""
            return Role(names, f"{'together ' if len(names) > 1 else ''}unique in {len(again)} {seen}{few}")
    return Role((), "no field identifies an event, so every delivery counts")


def _choices(
    fields: Sequence[Proposed], event_time: str | None, *, enough: bool
) -> Iterator[tuple[str, ...]]:
    """What may identify an event, the likeliest first."""
    texts = [field.name for field in fields if field.type in _TEXTS]
    ids = sorted((name for name in texts if _IDENTIFIERS.search(name)), key=lambda n: not _EVENTS.search(n))
    for name in ids:
        if _EVENTS.search(name) or (enough and not _THINGS.search(name)):
            yield (name,)
    if enough:  # an `invoice` of i17: unique alone is better than two that are so together
        yield from ((field.name,) for field in fields if _is_like_an_identifier(field))
    if event_time:
        things = [name for name in texts if name not in ids and _THINGS.search(name)]
        yield from ((name, event_time) for name in (*ids, *things))
        yield from ((*pair, event_time) for pair in combinations(ids, 2))


def _is_like_an_identifier(field: Proposed) -> bool:
    """Whether a field's values look like identifiers, though its name is none of the usual ones."""
    if _THINGS.search(field.name) or _IDENTIFIERS.search(field.name):
        return False
    if field.type != "varchar":
        return field.type in _TEXTS and bool(_NUMBERS.search(field.name))
    return all(text is not None and _LIKE_AN_IDENTIFIER.fullmatch(text) for text in field.texts)


def may_be_a_thing(field: Proposed) -> bool:
    """Whether a field may name what sends events."""
    is_named_so = bool(_THINGS.search(field.name) or _IDENTIFIERS.search(field.name))
    return field.type in _TEXTS and is_named_so and not _EVENTS.search(field.name)


def _present(field: Proposed) -> int:
    return sum(text is not None for text in field.texts)


def _distance(field: Proposed, sent_at: Sequence[datetime | None]) -> float:
    """Median seconds from a field's time to the broker's."""
    sql = f"select epoch({typed_value('text', field.type)}) from (select unnest(?::varchar []) as text)"
    with duckdb.connect(":memory:") as connection:
        connection.execute("set TimeZone = 'UTC'")
        moments = [moment for (moment,) in connection.execute(sql, [list(field.texts)]).fetchall()]
    spans = [
        sent.astimezone(UTC).timestamp() - moment
        for sent, moment in zip(sent_at, moments, strict=True)
        if sent is not None and moment is not None
    ]
    return statistics.median(spans) if spans else 0.0


def _span(seconds: float) -> str:
    for limit, unit, name in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.1f} {name}" if unit == 1 else f"{seconds / unit:.0f} {name}"
    return f"{seconds / 86_400:,.0f} days"
