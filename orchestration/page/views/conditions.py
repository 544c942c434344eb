"""What does not work: on every page in short, on the overview with remedies, on Alerts with what is over."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from orchestration.conditions.condition import Condition, by_importance
from orchestration.conditions.kinds import KINDS
from orchestration.page.heard import Heard
from orchestration.page.html import Html, nothing, since, table, tag, tile
from orchestration.page.views.reactions import became, reactions_tile
from orchestration.records.system_state import SystemState

NOBODY = Heard()

_NOT_RUNNING = (
    "Nothing runs on this data folder: 'millrace up' starts it. What stands here is as it last was."
)


def open_tiles(
    conditions: Iterable[Condition],
    state: SystemState | None,
    *,
    view: str,
    heard: Heard = NOBODY,
    now: datetime | None = None,
) -> dict[str, Html]:
    """The tiles that need no database.

    Args:
        conditions: Every one that the journal holds.
        state: Of the running system; None when none runs.
        view: The page that shows them.
        heard: What became of them: only the page Alerts shows it.
        now: UTC.
    """
    now, known = now or datetime.now(UTC), list(conditions)
    wrong = by_importance(each for each in known if each.closed is None)
    tiles = {"state": _state(wrong, state)}
    if view == "overview":
        tiles["conditions"] = _listed(wrong, now=now) if wrong else _all_well(state)
    if view == "journal":
        tiles["open"] = _listed(wrong, heard, now=now) if wrong else _all_well(state)
    return tiles


def over_tiles(
    conditions: Iterable[Condition], heard: Heard = NOBODY, *, now: datetime | None = None
) -> dict[str, Html]:
    """What stands below on the page Alerts: what is over, and who has heard of what.

    Args:
        conditions: Every one that the journal holds.
        heard: What became of them.
        now: UTC.
    """
    now = now or datetime.now(UTC)
    over = [each for each in conditions if each.closed is not None]
    return {"journal": _journal(over, heard, now=now), "reactions": reactions_tile(heard, now=now)}


def _state(wrong: Sequence[Condition], state: SystemState | None) -> Html:
    """A line for the head of every page."""
    if state is None:
        return tag("p", tag("a", _NOT_RUNNING, href="/"), class_="banner bad", role="status")
    if wrong:
        return tag("p", tag("a", counted(len(wrong)), href="/"), class_="banner bad", role="status")
    return tag("p", "everything works", class_="banner good", role="status")


def counted(count: int) -> str:
    """How many things do not work, as `millrace status` says it."""
    return f"{count} thing{'s do' if count > 1 else ' does'} not work"


def _all_well(state: SystemState | None) -> Html:
    text = _NOT_RUNNING if state is None else "Nothing: everything works."
    return tile("What does not work", nothing(text), kind="wide")


def _listed(wrong: Sequence[Condition], heard: Heard = NOBODY, *, now: datetime) -> Html:
    rows = [
        tag(
            "li",
            tag(
                "div",
                tag("strong", each.finding.subject), " · ", KINDS[each.finding.name].title, " · since ",
                since(each.opened, now=now),
                class_="dim",
            ),
            tag("p", each.finding.sentence, class_="sentence"),
            tag("p", each.finding.remedy, class_="remedy") if each.finding.remedy else None,
            became(heard.of(each), now=now),
            data_condition=each.finding.name,
        )
        for each in wrong
    ]  # fmt: skip
    return tile(
        "What does not work", tag("ul", rows, class_="conditions"), note=f"{len(wrong)}", kind="wide bad"
    )


def _journal(over: Sequence[Condition], heard: Heard, *, now: datetime) -> Html:
    if not over:
        return tile("What is over", nothing("Nothing has failed and ended yet."), kind="wide")
    rows = [
        (
            since(each.closed, now=now), _lasted(each), KINDS[each.finding.name].title, each.finding.subject,
            each.finding.sentence, became(heard.of(each), now=now),
        )
        for each in sorted(over, key=lambda each: each.closed or now, reverse=True)
    ]  # fmt: skip
    shown = table(
        ("ended", "lasted", "what", "of", "", "reactions"), rows, right=("lasted",), texts=("reactions",)
    )
    return tile("What is over", shown, note=f"the newest {len(rows)}", kind="wide")


def _lasted(condition: Condition) -> str:
    assert condition.closed is not None  # noqa: S101
    return seconds((condition.closed - condition.opened).total_seconds())


def seconds(value: float | None) -> str:
    """A duration for people: 0.4 s, 12 s, 3 min, 5 h, 2 d."""
    if value is None:
        return ""
    if value < 10:
        return f"{value:.1f} s"
    for limit, unit, name in ((120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if value < limit:
            return f"{value / unit:.0f} {name}"
    return f"{value / 86400:.0f} d"
