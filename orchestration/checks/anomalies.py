"""Is an hour as this stream's hours are? Checks of volume, delay and values against its own history.

They warn and hold nothing back. What is usual is in ingestion/watch/usual.py, and the hourly audit runs them:
an hour can be judged when it is over.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from math import sqrt
from statistics import median

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckKey,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetKey,
    multi_asset_check,
)

from ingestion.clock import utc_now
from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.watch.profiles import Hour, hours_of, note_hours, staging_of
from ingestion.watch.usual import LEARNING, Usual, usual
from orchestration.checks.audits import fails_with_its_checks, hourly
from orchestration.keys import ANOMALIES, WARNING, raw_key

VOLUME_CHECK = "usual_volume"
DELAY_CHECK = "usual_delay"
VALUES_CHECK = "usual_values"
_FEWEST_EVENTS = 50
"""Shares of fewer events are chance."""
_FEW_VALUES = 1_000
_HOUR = timedelta(hours=1)


def anomaly_checks(streams: Sequence[Stream], staged: Mapping[AssetKey, Stream]) -> AssetChecksDefinition:
    """The checks of all streams, as one op.

    Args:
        streams: The declared streams.
        staged: Staging model → its stream.
    """
    described = {
        VOLUME_CHECK: "As many events in the last full hour as are usual at this hour of the week.",
        DELAY_CHECK: "Events of the last full hour came from the broker to raw as soon as is usual.",
    }
    specs = [
        AssetCheckSpec(name, asset=raw_key(stream.name), description=text)
        for stream in streams
        for name, text in described.items()
    ]
    specs += [
        AssetCheckSpec(
            VALUES_CHECK,
            asset=key,
            description="As many fields of the last full hour are empty as is usual, and they have about as "
            "many different values.",
        )
        for key in staged
    ]
    models = {stream.name: key for key, stream in staged.items()}

    @multi_asset_check(
        name=ANOMALIES, specs=hourly(specs), can_subset=True, required_resource_keys={"lake_session"}
    )
    @fails_with_its_checks
    def anomalies(context: AssetCheckExecutionContext) -> Iterator[AssetCheckResult]:
        lake: Lake = context.resources.lake_session.lake
        chosen = context.selected_asset_check_keys
        for stream in streams:
            for result in check_hour(lake, stream, models.get(stream.name), now=utc_now()):
                if AssetCheckKey(result.asset_key or AssetKey([]), str(result.check_name)) in chosen:
                    yield result

    return anomalies


def check_hour(
    lake: Lake, stream: Stream, model: AssetKey | None, *, now: datetime
) -> Iterator[AssetCheckResult]:
    """Note the hours that are over, and judge the last one.

    Args:
        lake: The lake.
        stream: The stream.
        model: Its staging model, if there is one.
        now: UTC.
    """
    note_hours(lake, stream, now=now)
    hours, version = hours_of(lake, stream.name), lake.snapshot_id()
    own = hours.get("", [])
    yield _result(raw_key(stream.name), VOLUME_CHECK, _volume(stream, own), own, version)
    yield _result(raw_key(stream.name), DELAY_CHECK, _delay(stream, own), own, version)
    if model is not None and staging_of(stream) in lake.tables():  # else no run has built it yet
        yield _result(model, VALUES_CHECK, _values(stream, hours, own), own, version)


Verdict = tuple[str, Usual | None, float | None]
"""What is unusual, in a sentence, or nothing; what is usual; what was found."""


def _volume(stream: Stream, hours: Sequence[Hour]) -> Verdict:
    if not hours:
        return "", None, None
    last = hours[-1]
    range_ = _usual(hours, lambda hour: hour.events, lambda center: max(sqrt(center), 0.08 * center, 1.0))
    if range_ is None or range_.holds(last.events):
        return "", range_, last.events
    few = "few" if last.events < range_.low else "many"
    return (
        (
            f"{stream.name} brought {last.events:,} events {_between(last)}, too {few}: "
            f"{_amount(range_.low)} to {_amount(range_.high)} are usual {_where(range_)}"
        ),
        range_,
        last.events,
    )


def _delay(stream: Stream, hours: Sequence[Hour]) -> Verdict:
    known = [hour for hour in hours if hour.delay_seconds is not None]
    if not known or known[-1] != hours[-1]:
        return "", None, None
    last = known[-1]
    range_ = _usual(known, lambda hour: hour.delay_seconds or 0.0, lambda center: max(0.25 * center, 1.0))
    found = last.delay_seconds or 0.0
    if range_ is None or found <= range_.high:
        return "", range_, found
    return (
        (
            f"half of the events of {stream.name} {_between(last)} took more than {found:,.1f} s from the "
            f"broker to raw; up to {range_.high:,.1f} s are usual {_where(range_)}"
        ),
        range_,
        found,
    )


def _values(stream: Stream, hours: Mapping[str, Sequence[Hour]], own: Sequence[Hour]) -> Verdict:
    """Of several fields the first ones are named; the range is the first one's."""
    found: list[tuple[str, Usual, float]] = []
    ranges = 0
    for name in stream.fields:
        known = [hour for hour in hours.get(name, ()) if hour.events >= _FEWEST_EVENTS]
        if not known or not own or known[-1].hour != own[-1].hour:
            continue
        for verdict in (_empty(name, known), _different(name, known)):
            ranges += verdict[1] is not None
            if verdict[0] and verdict[1] is not None and verdict[2] is not None:
                found.append((verdict[0], verdict[1], verdict[2]))
    if not found:
        return "", Usual(0, 0, 0, 0, same_day=False) if ranges else None, 0
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    text = "; ".join(sentence for sentence, _, _ in found[:3])
    return f"in {stream.name} {_between(own[-1])}, {text}{more} ({_where(found[0][1])})", *found[0][1:]


def _empty(name: str, hours: Sequence[Hour]) -> Verdict:
    last = hours[-1]
    share = last.empty / last.events

    def chance(center: float) -> float:
        return max(sqrt(center * (1 - center) / last.events), 0.01)

    range_ = _usual(hours, lambda hour: hour.empty / hour.events, chance)
    if range_ is None or range_.holds(share):
        return "", range_, share
    low, high = max(range_.low, 0.0), min(range_.high, 1.0)
    return (
        (
            f"{name} is empty in {100 * share:.1f} % of the events, where {100 * low:.1f} to "
            f"{100 * high:.1f} % are usual"
        ),
        range_,
        share,
    )


def _different(name: str, hours: Sequence[Hour]) -> Verdict:
    known = [hour for hour in hours if hour.different is not None]
    if not known or known[-1] != hours[-1]:
        return "", None, None
    counts = [hour.different or 0 for hour in known]
    if median(counts) > _FEW_VALUES or median(counts) > 0.5 * median(hour.events for hour in known):
        return "", None, None  # nearly each event has its own: as many as there are events
    range_ = _usual(known, lambda hour: hour.different or 0, lambda center: max(0.1 * center, 1.0))
    if range_ is None or range_.holds(counts[-1]):
        return "", range_, counts[-1]
    return (
        (
            f"{name} has about {counts[-1]:,} different values, where {_amount(range_.low)} to "
            f"{_amount(range_.high)} are usual"
        ),
        range_,
        counts[-1],
    )


def _usual(
    hours: Sequence[Hour], value: Callable[[Hour], float], least_spread: Callable[[float], float]
) -> Usual | None:
    history = [(hour.hour, value(hour)) for hour in hours]
    return usual(history, hours[-1].hour, least_spread=least_spread)


def _between(hour: Hour) -> str:
    return f"from {hour.hour:%H:%M} to {hour.hour + _HOUR:%H:%M} UTC on {hour.hour:%Y-%m-%d}"


def _amount(value: float) -> str:
    return f"{max(value, 0):,.0f}"


def _where(range_: Usual) -> str:
    day = "on this day of the week" if range_.same_day else "on any day"
    return f"at this time {day}, by {range_.hours} hours of its history"


def _result(
    key: AssetKey, name: str, verdict: Verdict, hours: Sequence[Hour], snapshot_id: int
) -> AssetCheckResult:
    text, range_, found = verdict
    threshold = f"{range_.low:,.4g} to {range_.high:,.4g}" if range_ and range_.hours else "the usual range"
    if range_ is None:
        days = (hours[-1].hour - hours[0].hour) / timedelta(days=1) if hours else 0.0
        threshold = f"not judged yet: {days:.0f} of {LEARNING.days} days of history"
    return AssetCheckResult(
        asset_key=key,
        check_name=name,
        passed=not text,
        severity=AssetCheckSeverity.WARN,
        description=f"{WARNING}{text}" if text else None,
        metadata={
            "outcome": "warned" if text else "passed",
            "measured": "nothing" if found is None else round(float(found), 4),
            "threshold": threshold,
            "hour": f"{hours[-1].hour:%Y-%m-%d %H:%M} UTC" if hours else "none yet",
            "snapshot_id": snapshot_id,
        },
    )
