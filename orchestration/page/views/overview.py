"""The overview: streams, marts with where their time went, processes, checks, runs."""

from collections.abc import Sequence
from urllib.parse import quote

from orchestration.page.actions import button
from orchestration.page.html import Child, Html, clock, join, nothing, since, table, tag, tile
from orchestration.page.look import Look
from orchestration.page.views.conditions import seconds
from orchestration.records.overview import StreamRow
from orchestration.records.reader import CheckRecord

HOPS = ("waiting", "reading", "loading", "building")
PUBLISHING = "publishing"
"""The last hop, to PostgreSQL: outside the budget, which is the lake's."""
_BUDGET = "budget_seconds"


def overview_tiles(look: Look) -> dict[str, Html]:
    """The tiles, the most important first."""
    return {
        **errors(look),
        "streams": _streams(look),
        "marts": _marts(look),
        "checks": _checks(look),
        "services": _services(look),
        "runs": _runs(look),
    }


def errors(look: Look) -> dict[str, Html]:
    """What could not be read now, as a tile; none where everything was."""
    if not look.overview.errors:
        return {}
    lines = [tag("li", tag("p", error, class_="sentence")) for error in look.overview.errors]
    return {"errors": tile("What cannot be read now", tag("ul", lines, class_="conditions"), kind="wide bad")}


def version(look: Look) -> str:
    """Which version of the lake the tiles show."""
    return f"version {look.version.number:,} of the lake" if look.version else ""


def _streams(look: Look) -> Html:
    rows = look.overview.streams
    if not rows:
        text = "No stream is declared yet: 'millrace add' proposes one from a topic."
        return tile("Streams", nothing(text), kind="wide")
    columns = (
        "stream", "via", "events/s", "unread", "oldest unread", "rows", "open rejects", "loaded",
        "newest event", "",
    )  # fmt: skip
    numbers = ("events/s", "unread", "oldest unread", "rows", "open rejects")
    cells = [
        (
            stream_link(row.stream), row.kind, rate(look, row), *lag(row), f"{row.rows:,}", _rejects(row),
            since(row.last_load_at, now=look.at), since(row.last_event_at, now=look.at), _note(row),
        )
        for row in rows
    ]  # fmt: skip
    return tile("Streams", table(columns, cells, right=numbers), note=version(look), kind="wide")


def stream_link(name: str) -> Html:
    """To the page of a stream."""
    return tag("a", name, href=f"/stream/{quote(name, safe='')}")


def rate(look: Look, row: StreamRow) -> str:
    """Events a second, as far as that is known."""
    return f"{look.rates[row.stream]:,.1f}" if row.stream in look.rates else "–"


def lag(row: StreamRow) -> tuple[Child, Child]:
    """Unread events, and the age of the oldest."""
    if row.error:
        return tag("span", "?", class_="bad"), tag("span", "?", class_="bad")
    return f"{row.lag_events:,}", seconds(row.lag_seconds) or "?"


def _rejects(row: StreamRow) -> Child:
    return tag("span", f"{row.open_rejects:,}", class_="warn") if row.open_rejects else "0"


def _note(row: StreamRow) -> Child:
    if row.error:
        return tag("span", row.error, class_="bad")
    if row.rebuilt_rows is not None:
        return f"staging is built again: {row.rebuilt_rows:,} of at most {row.rows:,} rows"
    return None


def _marts(look: Look) -> Html:
    freshness = {check.asset: check for check in look.overview.checks if _BUDGET in check.numbers}
    # The product's own models have keys of their own, and a model's name is unique in a project.
    built = {_name(record.asset): record.built_at for record in look.overview.models}
    assets = {f"{mart.schema}/{mart.table}": name for name, mart in look.marts.items()}
    for asset in freshness:
        assets.setdefault(asset, _name(asset))
    if not assets:
        return tile("Marts", nothing("No mart is built yet; the first events build them."), kind="wide")
    ordered = sorted(assets, key=lambda asset: (asset not in freshness, assets[asset]))
    published = look.overview.publishing
    full = max(
        (_spent(freshness.get(asset)) + published.get(assets[asset], 0.0) for asset in ordered), default=0.0
    )
    rows = []
    for asset in ordered:
        check, reach = freshness.get(asset), look.reaches.get(assets[asset])
        rows.append(
            (
                assets[asset], since(built.get(_name(asset)), now=look.at, never="not yet"), _measured(check),
                f"{check.numbers[_BUDGET]:g} s" if check else "",
                waterfall(check, full=full, publishing=published.get(assets[asset])),
                clock(reach.fresh if reach else None), clock(reach.complete if reach else None),
            )
        )  # fmt: skip
    columns = ("mart", "built", "freshness", "budget", "where the time went", "fresh to", "complete to")
    shown = table(columns, rows, right=("freshness", "budget"))
    return tile(
        "Marts",
        shown,
        _legend(is_published=bool(published)) if freshness else None,
        note=version(look),
        kind="wide",
    )


def _name(asset: str) -> str:
    return asset.rpartition("/")[2]


def _measured(check: CheckRecord | None) -> Child:
    if check is None or "measured" not in check.numbers:
        return None
    kept = "good" if check.outcome == "passed" else "warn"
    return tag("span", seconds(check.numbers["measured"]), class_=kept)


def _spent(check: CheckRecord | None) -> float:
    if check is None:
        return 0.0
    return max(sum(_hops(check)), check.numbers[_BUDGET])


def _hops(check: CheckRecord) -> list[float]:
    return [max(0.0, check.numbers.get(f"{hop}_seconds", 0.0)) for hop in HOPS]


def waterfall(check: CheckRecord | None, *, full: float, publishing: float | None = None) -> Html | None:
    """The hops of a mart's newest events one after another, and a mark at its budget.

    Args:
        check: Its freshness; None where it has no budget.
        full: Seconds of the whole width.
        publishing: Seconds from the lake to PostgreSQL; None where the mart is not published.
    """
    if check is None or not any(_hops(check)):
        return None
    scale, at, parts = 100.0 / max(full, 0.001), 0.0, list[Html]()
    hops = [*zip(HOPS, _hops(check), strict=True)]
    hops += [] if publishing is None else [(PUBLISHING, publishing)]
    for hop, spent in hops:
        width = spent * scale
        title = tag("title", f"{hop} {spent:.2f} s")
        parts.append(
            tag("rect", title, x=f"{at:.2f}", y=2, width=f"{width:.2f}", height=10, class_=f"hop {hop}")
        )
        at += width
    mark = min(100.0, check.numbers[_BUDGET] * scale)
    parts.append(tag("rect", x=f"{max(0.0, mark - 0.6):.2f}", y=0, width="0.6", height=14, class_="budget"))
    spoken = ", ".join(f"{hop} {spent:.1f} s" for hop, spent in hops)
    return tag(
        "svg", parts, class_="waterfall", viewBox="0 0 100 14", preserveAspectRatio="none", role="img",
        aria_label=spoken,
    )  # fmt: skip


def _legend(*, is_published: bool) -> Html:
    hops = (*HOPS, PUBLISHING) if is_published else HOPS
    marks = [tag("span", tag("i", class_=f"key {hop}"), hop) for hop in hops]
    return tag("p", marks, tag("span", tag("i", class_="key budget"), "budget"), class_="legend")


def _services(look: Look) -> Html:
    rows = look.overview.services
    if not rows:
        return tile("Processes", nothing("None runs."))
    cells = [
        (
            row.name,
            tag("span", "running", class_="good") if row.running else tag("span", "down", class_="bad"),
            str(row.restarts or ""), row.error,
        )
        for row in rows
    ]  # fmt: skip
    return tile("Processes", table(("process", "state", "restarts", ""), cells, right=("restarts",)))


_WORSE = ("failed", "could_not_run", "warned")
_SAID = {"failed": "failed", "could_not_run": "could not run", "warned": "warned", "passed": "passed"}
_BEFORE = "failed_before"
"""Of a check that passes: how often it failed earlier in its run (run/earlier.py)."""
_CLASSES = {"failed": "bad", "could_not_run": "bad", "warned": "warn", "passed": "good"}


def _checks(look: Look) -> Html:
    checks = look.overview.checks
    if not checks:
        return tile("Checks", nothing("None has run yet; they run with the first events."))
    counts: list[Child] = []
    for outcome, words in _SAID.items():
        number = sum(check.outcome == outcome for check in checks)
        if number or outcome == "passed":
            counts.append(tag("span", f"{number:,} {words}", class_=_CLASSES[outcome]))
    wrong = sorted(
        (check for check in checks if check.outcome in _WORSE), key=lambda each: _WORSE.index(each.outcome)
    ) + [check for check in checks if check.outcome == "passed" and _BEFORE in check.numbers]
    rows = [
        (
            check.asset, check.check, tag("span", _SAID[check.outcome], class_=_CLASSES[check.outcome]),
            since(check.checked_at, now=look.at), check.message,
        )
        for check in wrong
    ]  # fmt: skip
    listed = table(("of", "check", "outcome", "when", ""), rows) if rows else None
    return tile("Checks", tag("p", _spaced(counts), class_="counts"), listed, kind="wide")


def _spaced(children: Sequence[Child]) -> Html:
    return join([child, " "] for child in children)


def _runs(look: Look) -> Html:
    runs = look.overview.runs
    now = tag("p", button("refresh"))
    if not runs:
        return tile("Runs", nothing("None yet: the first begins when events arrive."), now)
    base = look.overview.ui_url
    classes = {"SUCCESS": "good", "FAILURE": "bad", "CANCELED": "warn"}
    rows = []
    for run in runs:
        took = (run.ended_at - run.started_at).total_seconds() if run.ended_at and run.started_at else None
        name = run.run_id[:8]
        rows.append(
            (
                tag("a", name, href=f"{base}/runs/{run.run_id}") if base else name, run.job,
                tag("span", run.status.lower(), class_=classes.get(run.status)), seconds(took),
                since(run.ended_at, now=look.at, never="runs") if run.ended_at else "",
            )
        )  # fmt: skip
    return tile("Runs", table(("run", "job", "state", "took", "ended"), rows, right=("took",)), now)
