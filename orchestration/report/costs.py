"""The report's section on where time and CPU-seconds went: jobs, and what runs and processes take."""

import math
from collections import defaultdict
from datetime import timedelta

from orchestration.drawing.html import Html, tag
from orchestration.records.cost_history import CostHistory
from orchestration.records.costs import Kind
from orchestration.report.charts import columns, shares
from orchestration.report.content import SLOTS, Content
from orchestration.report.parts import lasted, legend, moment, nothing, section, table

_KINDS: dict[Kind, str] = {"stream": "batches of streams", "model": "models", "check": "checks"}
_HOUR = timedelta(hours=1)
_SHOWN = 25


def costs(content: Content) -> Html:
    """Where time and CPU-seconds went."""
    return section("costs", "Time and CPU", _jobs(content), _runs(content), _services(content))


def _jobs(content: Content) -> Html:
    rows = [
        (
            tag("strong", each.job), f"{sum(each.states.values()):,}", f"{each.states.get('SUCCESS', 0):,}",
            tag("span", f"{_bad(each.states):,}", class_="bad-text" if _bad(each.states) else None),
            lasted(each.seconds), lasted(each.longest_seconds),
        )
        for each in content.jobs
    ]  # fmt: skip
    numbers = ("runs", "succeeded", "failed", "took in all", "longest")
    head = tag("h3", "Runs of jobs")
    return tag("div", head, table(("job", *numbers), rows, right=numbers) if rows else nothing("None ran."))


def _bad(states: dict[str, int]) -> int:
    return states.get("FAILURE", 0) + states.get("CANCELED", 0)


def _runs(content: Content) -> Html:
    head, history = tag("h3", "CPU-seconds of runs"), content.costs
    if history is None or not history.costs:
        return tag("div", head, nothing("No run has recorded any."))
    by_kind: dict[str, float] = defaultdict(float)
    for cost in history.costs:
        by_kind[cost.kind] += cost.cpu_seconds
    total = sum(by_kind.values())
    events = sum(cost.events for cost in history.costs)
    covered = f"from {moment(history.start)} to {moment(history.end)} UTC"
    if history.end < content.span.end:
        covered += "; what came later is summed by the next upkeep"
    parts = {words: by_kind.get(kind, 0.0) for kind, words in _KINDS.items()}
    numbers = ("times", "CPU-s", "events", "CPU-s per million events")
    rows = [
        (
            tag("strong", cost.name), cost.kind, f"{cost.times:,}", f"{cost.cpu_seconds:,.2f}",
            f"{cost.events:,}" if cost.events else "–",
            "–" if cost.per_million is None else f"{cost.per_million:,.0f}",
        )
        for cost in history.costs[:_SHOWN]
    ]  # fmt: skip
    rest = sum(cost.cpu_seconds for cost in history.costs[_SHOWN:])
    over_time = _over_time(history)
    return tag(
        "div",
        head,
        tag("p", f"{total:,.1f} CPU-seconds for {events:,} events in the hours {covered}."),
        over_time,
        shares(parts, classes=("s0", "s1", "s2"), unit=" s"),
        legend((f"s{at}", f"{words} {value:,.1f} s") for at, (words, value) in enumerate(parts.items()))
        if over_time is None
        else None,  # the chart has one
        table(("what", "kind", *numbers), rows, right=numbers),
        tag("p", f"The other {len(history.costs) - _SHOWN} took {rest:,.1f} CPU-seconds.", class_="dim")
        if len(history.costs) > _SHOWN
        else None,
    )


def _over_time(history: CostHistory) -> Html | None:
    """CPU-seconds by the hour, or by several where there are many; nothing for less than two hours."""
    first, last = min(history.hours), max(history.end, max(history.hours) + _HOUR)
    many = math.ceil((last - first) / _HOUR)
    if many < 2:
        return None
    together = math.ceil(many / SLOTS)
    series: dict[str, dict[int, float]] = {words: defaultdict(float) for words in _KINDS.values()}
    for at, by_kind in history.hours.items():
        for kind, seconds in by_kind.items():
            series[_KINDS[kind]][int((at - first) / _HOUR) // together] += seconds
    of = math.ceil(many / together)
    return columns(series, of=of, ends=(moment(first), moment(history.end)), unit=" CPU-s")


def _services(content: Content) -> Html:
    head = tag("h3", "Processes, since each started")
    if not content.services:
        return tag("div", head, nothing("None ran when this report was made."))
    rows = [
        (
            tag("strong", each.name), f"{each.cores:.3f}", f"{each.cpu_seconds:,.1f}",
            f"{each.memory_bytes / 2**20:,.0f}",
        )
        for each in content.services
    ]  # fmt: skip
    sums = (
        tag("strong", "all"), f"{sum(each.cores for each in content.services):.2f}",
        f"{sum(each.cpu_seconds for each in content.services):,.1f}",
        f"{sum(each.memory_bytes for each in content.services) / 2**20:,.0f}",
    )  # fmt: skip
    numbers = ("cores", "CPU-s", "MiB")
    return tag("div", head, table(("process", *numbers), [*rows, sums], right=numbers))
