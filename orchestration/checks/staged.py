"""Checks of every stream's staging model: values that are not of their type, conflicts, clocks, sequences.

What is counted is in ingestion/watch/staged.py; the limits are the stream's `cast_errors` in streams.yml.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from dagster import AssetCheckKey, AssetCheckResult, AssetCheckSeverity, AssetCheckSpec, AssetKey

from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.watch.staged import CastErrors, count_cast_errors, count_clock_ahead, count_conflicts
from orchestration.checks.cut_times import cut_result, cut_spec
from orchestration.checks.in_turn import InTurn
from orchestration.checks.missing import missing_result, missing_spec
from orchestration.checks.sequences import sequence_result, sequence_spec
from orchestration.keys import WARNING

CAST_CHECK = "cast_errors"
CONFLICT_CHECK = "id_conflicts"
CLOCK_CHECK = "clock_ahead"
_FEWEST_EVENTS = 20
"""A share of fewer events fails nothing: of three events one is a third. It still warns."""


def staged_streams(streams: Sequence[Stream], models: Iterable[AssetKey]) -> dict[AssetKey, Stream]:
    """Staging model → its stream, of the models that there are."""
    by_name = {f"stg_{stream.name}": stream for stream in streams if stream.fields}
    return {key: by_name[key.path[-1]] for key in models if key.path[-1] in by_name}


def staged_specs(staged: Mapping[AssetKey, Stream]) -> list[AssetCheckSpec]:
    """The checks; neither holds anything back: the values are null and named, the rows decided by a rule."""
    casts = [
        AssetCheckSpec(
            CAST_CHECK,
            asset=key,
            description="The values of the newest hour are of the types that streams.yml declares.",
        )
        for key in staged
    ]
    conflicts = [
        AssetCheckSpec(
            CONFLICT_CHECK,
            asset=key,
            description="No business id came with several payloads in the newest hour "
            f"(on_conflict: {stream.on_conflict}).",
        )
        for key, stream in staged.items()
        if stream.business_id
    ]
    clocks = [
        AssetCheckSpec(
            CLOCK_CHECK,
            asset=key,
            description="No event of the newest hour claims a time of more than "
            f"{stream.clock_tolerance_minutes} minutes after its receipt.",
        )
        for key, stream in staged.items()
    ]
    others = (spec(key, stream) for key, stream in staged.items() for spec in (cut_spec, sequence_spec))
    missing = (missing_spec(key) for key in staged)
    return [*casts, *conflicts, *clocks, *missing, *(spec for spec in others if spec is not None)]


class StagedChecks:
    """Runs the checks of what was built, each model's in its turn.

    Args:
        staged: Staging model → its stream.
    """

    def __init__(self, staged: Mapping[AssetKey, Stream]) -> None:
        self._staged = staged
        self._turns = InTurn(staged)

    def built(self, keys: Iterable[AssetKey]) -> None:
        """Note the models that have new contents."""
        self._turns.built(keys)

    def run(
        self, lake: Lake, *, only: Iterable[AssetCheckKey] | None = None, all_of_them: bool = False
    ) -> Iterator[AssetCheckResult]:
        """Run those that are due.

        Args:
            lake: The lake.
            only: The checks that may be reported; None for all.
            all_of_them: Every one whose model was built since it last ran.
        """
        chosen = None if only is None else set(only)
        for key in self._turns.take(all_of_them=all_of_them):
            for result in check_staged(lake, key, self._staged[key]):
                if chosen is None or AssetCheckKey(key, str(result.check_name)) in chosen:
                    yield result


def check_staged(lake: Lake, key: AssetKey, stream: Stream) -> Iterator[AssetCheckResult]:
    """Run the checks of a staging model."""
    yield _cast_result(lake, key, stream)
    yield _clock_result(lake, key, stream)
    yield missing_result(lake, key, stream)
    if stream.business_id:
        yield _conflict_result(lake, key, stream)
    for result in (cut_result(lake, key, stream), sequence_result(lake, key, stream)):
        if result is not None:
            yield result


def _cast_result(lake: Lake, key: AssetKey, stream: Stream) -> AssetCheckResult:
    found, limits = count_cast_errors(lake, stream), stream.cast_errors
    share = max(found.share, found.worst_share)
    failed = limits.fail is not None and found.events >= _FEWEST_EVENTS and share > limits.fail
    warned = share > limits.warn
    outcome = "failed" if failed else "warned" if warned else "passed"
    limit = limits.fail if failed else limits.warn
    most = f"at most {100 * limit:g} %" if limit else "none"
    text = (
        f"{found.errors} of {found.events} events of {stream.name} in its newest hour have values that are "
        f"not of their type, and {most} may: {described(found)}; they are null in staging: correct the type "
        "in streams.yml, or the sender"
    )
    worst = {
        each.field: {"errors": each.errors, "event_id": each.event_id, "value": each.value}
        for each in found.fields
    }
    return _result(
        key, CAST_CHECK, outcome, text, measured=round(share, 6), threshold=f"{most} of the events",
        snapshot_id=lake.snapshot_id(), events=found.events, errors=found.errors, worst=worst,
    )  # fmt: skip


def described(found: CastErrors) -> str:
    """The worst fields with an example each."""
    return ", ".join(
        f"{each.field} {times(each.errors)}, as {each.value or 'a payload'} in {each.event_id}"
        for each in found.fields[:3]
    )


def _conflict_result(lake: Lake, key: AssetKey, stream: Stream) -> AssetCheckResult:
    found = count_conflicts(lake, stream)
    outcome = "warned" if found.conflicts else "passed"
    text = (
        f"{times(found.conflicts).capitalize()} in the newest hour of {stream.name}, a delivery has the "
        f"business id of another event and another payload: {found.event_id} that of {found.first_event_id} "
        f"({found.business_id}), for example; staging keeps {_KEPT[stream.on_conflict]}"
    )
    return _result(
        key, CONFLICT_CHECK, outcome, text, measured=found.conflicts, threshold="0 conflicts",
        snapshot_id=lake.snapshot_id(),
    )  # fmt: skip


def _clock_result(lake: Lake, key: AssetKey, stream: Stream) -> AssetCheckResult:
    found = count_clock_ahead(lake, stream)
    text = (
        f"{found.ahead} of {found.events} events of {stream.name} in its newest hour claim a time of more "
        f"than {stream.clock_tolerance_minutes} minutes after their receipt, {found.event_id} by "
        f"{in_words(found.most_seconds)}; their event_at is the time of receipt: correct the clock or zone "
        "of the sender, or set 'clock_tolerance_minutes' in streams.yml"
    )
    return _result(
        key, CLOCK_CHECK, "warned" if found.ahead else "passed", text, measured=found.ahead,
        threshold="0 events", snapshot_id=lake.snapshot_id(), events=found.events,
        most_seconds=found.most_seconds,
    )  # fmt: skip


def times(number: int) -> str:
    """How often."""
    return "once" if number == 1 else f"{number:,} times"


def in_words(seconds: float) -> str:
    """A length of time, rounded, in the largest unit of which it has two."""
    for size, unit in ((365 * 86400, "years"), (86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"


_KEPT = {
    "first": "the first; 'on_conflict' and 'business_id' in streams.yml decide it",
    "last": "the last one",
    "keep_all": "all of them",
    "fail": "none: its model fails",
}


def _result(key: AssetKey, name: str, outcome: str, text: str, **metadata: Any) -> AssetCheckResult:
    severity = AssetCheckSeverity.ERROR if outcome == "failed" else AssetCheckSeverity.WARN
    description = None if outcome == "passed" else f"{WARNING if outcome == 'warned' else ''}{text}"
    return AssetCheckResult(
        asset_key=key,
        check_name=name,
        passed=outcome == "passed",
        severity=severity,
        description=description,
        metadata={"outcome": outcome, **metadata},
    )
