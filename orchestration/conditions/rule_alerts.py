"""The open alerts of a project's rules, as a build left them: a file for each model of alerts.

The supervisor reads them without the lake. A rule that thousands of keys break at once becomes one condition
beside the first few: what a rule is stands in docs/rules.md. A lake that was restored to an earlier version
closes nothing until it has read again what it had read.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ingestion.json_file import write_json
from orchestration.conditions.condition import Finding

KIND = "rule_alert"
MOST_KEYS = 20
"""How many keys of a rule get conditions of their own; at half as many open ones, each new one does again."""
MOST_RULES = 50
"""How many rules of a model are kept apart; more count as one, named by the model."""
RULES_FOLDER = Path("conditions") / "rules"
_LONGEST = 120


@dataclass(frozen=True)
class Progress:
    """How far the lake is, of the streams that a model follows from.

    Attributes:
        reached: Partition of a stream → the position up to which it is in the lake.
        landed_at: When the newest of it was, UTC; None for not known.
        built_at: When the model was, UTC; None for not known.
        built: Stream that the model follows from → whether all tables on the way have just been built; None
            for all streams.
    """

    reached: Mapping[str, int] = field(default_factory=dict)
    landed_at: datetime | None = None
    built_at: datetime | None = None
    built: Mapping[str, bool] | None = None


@dataclass(frozen=True)
class OpenAlert:
    """An alert that a rule has open.

    Attributes:
        rule: The rule.
        key: What breaks it: a machine, an order.
        severity: As the rule declares it.
        opened_at: Since when, UTC.
        description: What it means; may be empty.
        times: When the event was in raw and in the mart, where its alert was seen first: landed, built.
        traceparent: Of the cycle that found it, where it is traced.
    """

    rule: str
    key: str
    severity: str
    opened_at: datetime | None
    description: str = ""
    times: tuple[tuple[str, str], ...] = field(default=(), compare=False)
    traceparent: str = ""


@dataclass(frozen=True)
class Noted:
    """What is shown of a model's open alerts.

    Attributes:
        named: Those with a condition of their own.
        many: Rule → that more keys break it than are named.
        reached: How far the lake was then.
        owed: Streams of which the lake does not show yet what it showed then, so that nothing closes.
    """

    named: tuple[OpenAlert, ...] = ()
    many: frozenset[str] = frozenset()
    reached: Mapping[str, int] = field(default_factory=dict, compare=False)
    owed: frozenset[str] = field(default=frozenset(), compare=False)


def chosen(model: str, alerts: Iterable[OpenAlert], *, before: Noted) -> Noted:
    """Which open alerts get a condition of their own.

    Args:
        model: The model.
        alerts: All that are open.
        before: What was chosen last; its alerts keep their conditions until they close.
    """
    groups = defaultdict[str, list[OpenAlert]](list)
    found_by = {_of(alert): alert.traceparent for alert in before.named}
    for alert in alerts:
        groups[alert.rule].append(replace(alert, traceparent=found_by.get(_of(alert), alert.traceparent)))
    if len(groups) > MOST_RULES:
        groups = defaultdict(list, {model: [alert for group in groups.values() for alert in group]})
    known = {(alert.rule, alert.key) for alert in before.named}
    named: list[OpenAlert] = []
    many = set[str]()
    for rule, group in groups.items():
        group.sort(key=lambda each: (each.opened_at or datetime.min.replace(tzinfo=UTC), each.rule, each.key))
        kept = [alert for alert in group if (alert.rule, alert.key) in known]
        was_many = rule in before.many
        if len(group) > (MOST_KEYS // 2 if was_many else MOST_KEYS):
            many.add(rule)
            others = () if was_many else (each for each in group if (each.rule, each.key) not in known)
            named += sorted([*kept, *others][:MOST_KEYS], key=lambda each: (each.rule, each.key))
        else:
            named += group
    return Noted(tuple(named), frozenset(many))


def note_rule_alerts(
    data_dir: Path, model: str, alerts: Iterable[OpenAlert], *, progress: Callable[[], Progress] = Progress
) -> None:
    """Replace what is known of a model's open alerts; an unchanged file stays.

    Args:
        data_dir: The data folder.
        model: The model.
        alerts: All that are open and that its project wants as conditions.
        progress: How far the lake is; asked when this changes.

    Raises:
        StorageError: The file cannot be written.
    """
    file = data_dir / RULES_FOLDER / f"{model}.json"
    before, found = _read(file), tuple(alerts)
    noted = chosen(model, found, before=before or Noted())
    if noted == before and not before.owed:
        return
    now = progress()
    reached, at, owed = now.reached, _times(now), _owed(before, now)
    if before is not None and owed:
        # The lake is at an earlier version, in which an alert that people know of was not there yet.
        known = {(each.rule, each.key) for each in found}
        kept = [each for each in before.named if (each.rule, each.key) not in known]
        noted, reached = chosen(model, [*found, *kept], before=before), before.reached
        noted = replace(noted, many=noted.many | before.many)
        if noted == before and owed == before.owed:
            return
    since = {each: each.times for each in (before.named if before is not None else ())}
    named = [replace(each, times=since.get(each, at)) for each in noted.named]
    rows, many = [_row(each) for each in named], sorted(noted.many)
    write_json(file, {"named": rows, "many": many, "reached": dict(reached), "owed": sorted(owed)})


def owe_builds(data_dir: Path) -> None:
    """After a restore nothing closes until the models have been built from every stream.

    A backup may hold events that its models do not show yet.

    Args:
        data_dir: The data folder; no system runs on it.

    Raises:
        StorageError: A file cannot be written.
    """
    for file in (data_dir / RULES_FOLDER).glob("*.json"):
        if noted := _read(file):
            content = json.loads(file.read_text(encoding="utf-8"))
            write_json(file, content | {"owed": sorted({*map(_stream, noted.reached)})})


def _owed(before: Noted | None, now: Progress) -> frozenset[str]:
    """The streams of which the lake shows less than it did."""
    if before is None:
        return frozenset()
    behind = {_stream(place) for place, end in before.reached.items() if now.reached.get(place, 0) < end}
    if now.built is None:
        return frozenset(behind)
    return frozenset(
        stream
        for stream, is_built in now.built.items()
        if stream in behind or (stream in before.owed and not is_built)
    )


def _stream(place: str) -> str:
    """Of a partition as Progress names it."""
    return place.partition(" ")[0]


def forget_rule_alerts(data_dir: Path, *, keep: Iterable[str]) -> None:
    """Drop what is known of models that there are no more.

    Args:
        data_dir: The data folder.
        keep: The models of alerts.
    """
    kept = frozenset(keep)
    for file in (data_dir / RULES_FOLDER).glob("*.json"):
        if file.stem not in kept:
            with suppress(OSError):
                file.unlink()


def rule_alert_findings(data_dir: Path) -> Iterator[Finding]:
    """The open alerts that are conditions.

    Args:
        data_dir: The data folder.
    """
    for file in sorted((data_dir / RULES_FOLDER).glob("*.json")):
        noted, model = _read(file) or Noted(), file.stem
        for alert in noted.named:
            who, rule = _short(alert.key), _short(alert.rule)
            since = f" since {alert.opened_at:%Y-%m-%d %H:%M:%S} UTC" if alert.opened_at else ""
            meaning = f": {_short(alert.description)}" if alert.description else ""
            yield Finding(
                KIND, subject_of(alert.rule, alert.key),
                f"'{who}' breaks the rule '{rule}' ({_short(alert.severity)}){since}{meaning}",
                f"The mart '{model}' has its values.", _short(alert.severity), _identity(model, alert),
                _moments(alert),
                alert.traceparent,
            )  # fmt: skip
        for rule in sorted(noted.many):
            yield Finding(
                KIND, _short(rule),
                f"More than {MOST_KEYS} keys broke the rule '{_short(rule)}' at once; further ones get no "
                f"condition of their own until at most {MOST_KEYS // 2} do",
                f"The mart '{model}' has all of them.",
            )  # fmt: skip


def _times(now: Progress) -> tuple[tuple[str, str], ...]:
    known = (("landed", now.landed_at), ("built", now.built_at))
    return tuple((word, at.isoformat(timespec="milliseconds")) for word, at in known if at is not None)


def _moments(alert: OpenAlert) -> tuple[tuple[str, str], ...]:
    """Of what is known of it, with the event's own time."""
    if not alert.times or alert.opened_at is None:
        return ()
    return (("happened", alert.opened_at.isoformat(timespec="milliseconds")), *alert.times)


def _of(alert: OpenAlert) -> tuple[str, str, datetime | None]:
    return alert.rule, alert.key, alert.opened_at


def _identity(model: str, alert: OpenAlert) -> str:
    """The same however often the model is built from the same events."""
    opened = alert.opened_at.isoformat() if alert.opened_at else ""
    return sha256("\0".join((model, alert.rule, alert.key, opened)).encode()).hexdigest()[:24]


def subject_of(rule: str, key: str) -> str:
    """What the condition of an alert is about: the same while the alert lasts.

    Args:
        rule: The rule.
        key: What breaks it.
    """
    return f"{_short(rule)} of {_short(key)}"


def _short(text: str) -> str:
    """A name from a payload, fit for a sentence in one line."""
    line = "".join(letter if letter.isprintable() else "?" for letter in text)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def _row(alert: OpenAlert) -> Sequence[object]:
    opened = alert.opened_at.isoformat() if alert.opened_at else None
    said = (alert.rule, alert.key, alert.severity, opened, alert.description)
    return [*said, dict(alert.times), alert.traceparent]


def _alert(
    rule: str, key: str, severity: str, opened: str | None, description: str,
    times: Mapping[str, str] = MappingProxyType({}), traceparent: str = "",
) -> OpenAlert:  # fmt: skip
    at = datetime.fromisoformat(opened) if opened else None
    known = tuple((str(word), str(moment)) for word, moment in times.items())
    return OpenAlert(rule, key, severity, at, description, known, traceparent)


def _read(file: Path) -> Noted | None:
    """What a file holds; None where it is missing, torn or of another release."""
    try:
        content: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        named = [_alert(*row) for row in content["named"]]
        reached = {str(place): int(end) for place, end in content.get("reached", {}).items()}
        owed = frozenset(map(str, content.get("owed", ())))
        return Noted(tuple(named), frozenset(content["many"]), reached, owed)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
