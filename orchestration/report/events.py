"""The report's sections on events: what came, how late, what could not be read, typed or decided."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from orchestration.drawing.html import Html, tag
from orchestration.records.history import HOPS, Measured
from orchestration.report.charts import columns, distribution, shares
from orchestration.report.content import SLOTS, Content, Row
from orchestration.report.parts import lasted, legend, moment, nothing, percent, section, table

_LATE = {
    "in_order": "in order",
    "late_within_10_seconds": "late by up to 10 s",
    "late_within_1_minute": "late by up to 1 min",
    "late_within_1_hour": "late by up to 1 h",
    "late_beyond_1_hour": "late by more",
}
_NOT_BUILT = "Not known: its ops model is not built yet."
_WINDOW = "of the time that the ops models look back, a day unless ops_window_hours says otherwise"


def freshness(content: Content) -> Html:
    """How old events were when a mart showed them, against its budget, and where the time went."""
    measured = {asset: values for asset, values in content.freshness.items() if values}
    if not measured:
        text = "No mart with a budget was measured: 'freshness_seconds' in a model's meta declares one."
        return section("freshness", "Freshness of marts", nothing(text))
    cards = [_mart(asset, values) for asset, values in sorted(measured.items())]
    marks = legend([("passed", "within the budget"), ("warned", "over it"), *((hop, hop) for hop in HOPS)])
    return section(
        "freshness",
        "Freshness of marts",
        marks,
        tag("div", cards, class_="cards"),
        note="age of the oldest event of new batches when the mart showed it; each measure is the worst of "
        "some 15 s",
    )


def _mart(asset: str, values: Sequence[Measured]) -> Html:
    budget, ages = values[-1].budget_seconds, sorted(each.seconds for each in values)
    within = sum(each.seconds <= each.budget_seconds for each in values)
    means = {hop: sum(each.hops[at] for each in values) / len(values) for at, hop in enumerate(HOPS)}
    shown = [
        ("within the budget", percent(within, len(values))), ("half within", lasted(_at(ages, 0.5))),
        ("95 % within", lasted(_at(ages, 0.95))), ("worst", lasted(ages[-1])),
        ("measured", f"{len(ages):,} times"),
    ]  # fmt: skip
    went = ", ".join(f"{hop} {lasted(value)}" for hop, value in means.items())
    return tag(
        "article",
        tag("h3", asset),
        tag(
            "dl",
            [tag("div", tag("dt", name), tag("dd", value)) for name, value in shown],
            class_="figures small",
        ),
        distribution(ages, budget=budget),
        tag("p", f"On average, the time went into: {went}.", class_="dim"),
        shares(means, classes=HOPS, unit=" s"),
    )


def _at(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def batches(content: Content) -> Html:
    """What came, by stream."""
    rows = content.ops.get("ops_batches")
    if not rows:
        return section(
            "events", "Events", nothing("No batch landed in this time." if rows is not None else _NOT_BUILT)
        )
    by_stream = _grouped(rows, "stream")
    streams = {row.stream: row for row in content.overview.streams}
    cells = [
        (
            tag("strong", name), f"{len(each):,}", f"{_sum(each, 'events_read'):,}",
            f"{_sum(each, 'events_landed'):,}", f"{_sum(each, 'events_rejected'):,}",
            f"{_sum(each, 'bytes_read') / 2**20:,.1f}", lasted(_sum(each, "duration_seconds")),
            f"{_sum(each, 'positions_skipped'):,}",
            f"{streams[name].lag_events:,}" if name in streams else "–",
        )
        for (name,), each in by_stream.items()
    ]  # fmt: skip
    numbers = ("batches", "events read", "landed", "rejected", "MiB", "read for", "skipped", "unread now")
    slots = _in_slots(content, rows, "ingested_at", "stream", "events_read")
    return section(
        "events",
        "Events",
        columns(slots, of=SLOTS, ends=_ends(content)),
        table(("stream", *numbers), cells, right=numbers),
    )


def lateness(content: Content) -> Html:
    """How long events take, and how far behind the newest they come."""
    rows = content.ops.get("ops_lateness")
    if not rows:
        return section(
            "lateness", "Lateness", nothing("No event came lately." if rows is not None else _NOT_BUILT)
        )
    numbers = ("events", "delay: half within", "95 %", "99 %", "longest", "latest", "clock ahead")
    cells = [
        (
            tag("strong", row["stream"]),
            shares({words: row[name] for name, words in _LATE.items()}, classes=_LATES),
            f"{row['events']:,}", lasted(row["delay_p50_seconds"]), lasted(row["delay_p95_seconds"]),
            lasted(row["delay_p99_seconds"]), lasted(row["delay_max_seconds"]),
            lasted(row["lateness_max_seconds"]), f"{row['clock_ahead']:,}",
        )
        for row in rows
    ]  # fmt: skip
    return section(
        "lateness",
        "Lateness",
        table(("stream", "", *numbers), cells, right=numbers),
        legend(zip(_LATES, _LATE.values(), strict=True)),
        note="delay: from the event's time to its ingestion; late: older than its stream's newest event; "
        f"{_WINDOW}",
    )


_LATES = tuple(f"late{number}" for number in range(len(_LATE)))


def rejects(content: Content) -> Html:
    """What could not be decoded."""
    rows = content.ops.get("ops_rejects")
    if not rows:
        text = "Nothing was rejected in this time." if rows is not None else _NOT_BUILT
        return section("rejects", "Rejects", nothing(text))
    cells = [
        (
            tag("strong", stream), reason, f"{_sum(each, 'rejects'):,}",
            tag("span", f"{_sum(each, 'open_rejects'):,}", class_=_warns(_sum(each, "open_rejects"))),
            moment(max(row["last_rejected_at"] for row in each)), each[-1]["first_event_id"],
        )
        for (stream, reason), each in _grouped(rows, "stream", "reason").items()
    ]  # fmt: skip
    slots = _in_slots(content, rows, "last_rejected_at", "reason", "rejects")
    return section(
        "rejects",
        "Rejects",
        columns(slots, of=SLOTS, ends=_ends(content)) if len({row["hour_at"] for row in rows}) > 1 else None,
        table(
            ("stream", "reason", "rejects", "open", "newest (UTC)", "for example"),
            cells,
            right=("rejects", "open"),
        ),
        note="counted by the hour, from the begin of the first one; 'millrace rejects' shows them, and their "
        "way back",
    )


def values(content: Content) -> Html:
    """Values that are not of their type, and deliveries that contradict each other."""
    rows = content.ops.get("ops_cast_errors")
    if rows:
        cells = [
            (
                tag("strong", row["stream"]), row["field"], f"{row['errors']:,}", f"{row['events']:,}",
                percent(row["errors"], row["events"]), moment(row["last_error_at"]), row["last_event_id"],
            )
            for row in rows
        ]  # fmt: skip
        numbers = ("events with it", "of events", "share")
        casts: Html = table(
            ("stream", "field", *numbers, "newest (UTC)", "for example"), cells, right=numbers
        )
    else:
        casts = nothing("Every value was of its type." if rows is not None else _NOT_BUILT)
    return section(
        "values",
        "Cast errors and conflicts",
        casts,
        tag("h3", "Conflicts"),
        _conflicts(content),
        note=f"cast errors {_WINDOW}; conflicts, deliveries of one business id with several payloads, of "
        "each stream's newest hour",
    )


def _conflicts(content: Content) -> Html:
    if not content.conflicts:
        return nothing("No stream has a business id and a staging table.")
    rows = [
        (
            tag("strong", stream), f"{each.conflicts:,}",
            f"{each.event_id} has the id of {each.first_event_id} and another payload",
        )
        for stream, each in sorted(content.conflicts.items())
        if each.conflicts
    ]  # fmt: skip
    if not rows:
        return nothing(f"None in {', '.join(sorted(content.conflicts))}.")
    return table(("stream", "conflicts", ""), rows, right=("conflicts",))


def _ends(content: Content) -> tuple[str, str]:
    return moment(content.span.start), moment(content.span.end)


def _grouped(rows: Iterable[Row], *names: str) -> Mapping[tuple[str, ...], list[Row]]:
    found: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        found[tuple(str(row[name]) for name in names)].append(row)
    return dict(sorted(found.items()))


def _warns(count: float) -> str | None:
    return "warn-text" if count else None


def _sum(rows: Iterable[Row], name: str) -> float:
    return sum(row[name] or 0 for row in rows)


def _in_slots(
    content: Content, rows: Iterable[Row], when: str, name: str, number: str
) -> dict[str, dict[int, float]]:
    found: dict[str, dict[int, float]] = {}
    for row in rows:
        at = content.span.slot(row[when])
        values = found.setdefault(str(row[name]), {})
        values[at] = values.get(at, 0.0) + row[number]
    return dict(sorted(found.items()))
