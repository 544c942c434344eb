"""The alerts of a project's rules: open ones with values and what became of them, ended ones below."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from orchestration.cli.messages import printable
from orchestration.conditions.condition import Condition
from orchestration.conditions.rule_alerts import KIND, subject_of
from orchestration.page.alertcontent import Alert, AlertContent
from orchestration.page.heard import Heard
from orchestration.page.html import Child, Html, clock, nothing, since, table, tag, tile
from orchestration.page.look import Look
from orchestration.page.views.conditions import seconds
from orchestration.page.views.marts import cell
from orchestration.page.views.overview import errors, version
from orchestration.page.views.reactions import became

_MOST_VALUES = 12
_GRAVE = frozenset({"critical", "error", "fatal", "high", "emergency"})


def alerts_tiles(
    look: Look, content: AlertContent, conditions: Iterable[Condition], heard: Heard
) -> dict[str, Html]:
    """The tiles.

    Args:
        look: Of everything.
        content: What was read of the lake.
        conditions: The open ones.
        heard: What became of conditions.
    """
    tiles = errors(look)
    known = {each.finding.subject: each for each in conditions if each.finding.name == KIND}
    if content.why_not:
        lines = [tag("li", tag("p", f"{model}: {why}", class_="sentence")) for model, why in content.why_not]
        tiles["unread"] = tile(
            "Alerts that are not known now", tag("ul", lines, class_="conditions"), kind="wide bad"
        )
    if not content.models:
        text = "This project has no model of alerts: docs/rules.md says how to make one."
        return {**tiles, "rule_alerts": tile("Open alerts", nothing(text), kind="wide")}

    def sent(alert: Alert) -> Child:
        return _sent(alert, known, heard, now=look.at)

    return {
        **tiles,
        "rule_alerts": _open(look, content, sent),
        "ended": _ended(look, content),
    }


def _open(look: Look, content: AlertContent, sent: Callable[[Alert], Child]) -> Html:
    if not content.open:
        return tile("Open alerts", nothing("None: no rule is broken."), note=version(look), kind="wide")
    rows = [
        (
            printable(each.key), printable(each.rule), severity(each), since(each.opened_at, now=look.at),
            printable(each.description), values(each), sent(each),
        )
        for each in content.open
    ]  # fmt: skip
    columns = ("of", "rule", "severity", "since", "meaning", "values", "reactions")
    shown = table(columns, rows, texts=("meaning", "values", "reactions"))
    left = f"the first {len(rows)} of {content.open_count:,}" if content.open_count > len(rows) else ""
    note = " · ".join(filter(None, (left or f"{len(rows)}", version(look))))
    return tile("Open alerts", shown, note=note, kind="wide")


def _ended(look: Look, content: AlertContent) -> Html:
    if not content.ended:
        return tile("Ended alerts", nothing("None has ended yet."), kind="wide")
    rows = [
        (
            printable(each.key), printable(each.rule), severity(each), clock(each.opened_at),
            since(each.closed_at, now=look.at), _lasted(each.opened_at, each.closed_at), values(each),
        )
        for each in content.ended
    ]  # fmt: skip
    columns = ("of", "rule", "severity", "opened", "ended", "lasted", "values")
    shown = table(columns, rows, right=("lasted",), texts=("values",))
    return tile("Ended alerts", shown, note=f"the newest {len(rows)}", kind="wide")


def severity(alert: Alert) -> Html:
    """In colour, so that the grave ones are seen first."""
    return tag("span", printable(alert.severity), class_="bad" if alert.severity in _GRAVE else "warn")


def values(alert: Alert) -> Html:
    """The other columns of its row, by name."""
    there = [(name, value) for name, value in alert.values if value is not None]
    pairs: Sequence[Html] = [
        tag("span", tag("i", name), " ", cell(value)) for name, value in there[:_MOST_VALUES]
    ]
    return tag("span", pairs, class_="values")


def _sent(alert: Alert, known: Mapping[str, Condition], heard: Heard, *, now: datetime) -> Child:
    if not alert.is_condition:
        return tag("span", "stays in the mart", class_="dim")
    condition = known.get(subject_of(alert.rule, alert.key))
    if condition is None:
        return tag("span", "no condition of its own", class_="dim")
    return became(heard.of(condition), now=now) or tag("span", "no reaction hears of it", class_="dim")


def _lasted(opened: datetime | None, closed: datetime | None) -> str:
    return seconds((closed - opened).total_seconds()) if opened and closed else ""
