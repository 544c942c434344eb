"""An Overview as Rich tables, for `status` and for the live view of `up` and `demo`."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.text import Text

from orchestration.cli.fitted import FittedTable
from orchestration.cli.hanging import HangingSentences
from orchestration.conditions.condition import Condition
from orchestration.reactions.entries import STATES
from orchestration.records.overview import Overview, StreamRow
from orchestration.records.reader import AssetRecord, CheckRecord, RunRecord
from orchestration.records.system_state import ServiceRow

_HOPS = ("waiting", "reading", "loading", "building")
_PUBLISHING = "publishing"
_COLOURS = {
    "passed": "green",
    "SUCCESS": "green",
    "warned": "yellow",
    "failed": "red",
    "could_not_run": "red",
    "FAILURE": "red",
    "CANCELED": "yellow",
}


def table(*columns: str, right: Sequence[str] = (), least: Sequence[str] = ()) -> FittedTable:
    """A plain table; columns named in `right` are numbers, one without a name holds sentences.

    Args:
        columns: Their names.
        right: Those that hold numbers.
        least: Those that a narrow terminal does without, the first first.
    """
    return FittedTable(columns, right=right, least=least)


def age(moment: datetime | None, *, now: datetime) -> str:
    """How long ago, as in "12s ago"."""
    if moment is None:
        return "never"
    seconds = max(0.0, (now - moment.astimezone(UTC)).total_seconds())
    for limit, unit, name in ((120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.0f}{name} ago"
    return f"{seconds / 86400:.0f}d ago"


def overview_tables(overview: Overview, *, now: datetime) -> RenderableType:
    """Everything, one table below the other.

    Args:
        overview: The state.
        now: UTC, for ages.
    """
    parts: list[RenderableType] = [_headline(overview)]
    troubles = wrong(overview.conditions, overview.errors, now=now)
    parts += [Text(), troubles] if troubles is not None else []
    if overview.services:
        parts += [Text(), services_table(overview.services)]
    if overview.streams:
        parts += [Text(), streams_table(overview.streams, now=now)]
    if any(row.schemas for row in overview.streams):
        parts += [Text(), schemas_table(overview.streams, now=now)]
    if overview.models:
        parts += [
            Text(),
            models_table(overview.models, overview.checks, now=now, publishing=overview.publishing),
        ]
    if any(sum(counts.values()) for counts in overview.reactions.values()):
        parts += [Text(), reactions_table(overview.reactions)]
    if overview.runs:
        parts += [Text(), runs_table(overview.runs, now=now)]
    if overview.checks:
        parts += [Text(), checks_summary(overview.checks)]
    return Group(*parts)


def wrong(
    conditions: Sequence[Condition], errors: Sequence[str], *, now: datetime, in_short: bool = False
) -> RenderableType | None:
    """What does not work, as sentences that wrap; None when everything does.

    Args:
        conditions: The open ones, the most important first.
        errors: What could not be read just now.
        now: UTC, for ages.
        in_short: One line each, without the remedies.
    """
    if not conditions and not errors:
        return None
    lines = [("now", Text(error, "red")) for error in errors]
    for condition in conditions:
        sentence = Text(condition.finding.sentence if in_short else condition.text, "red")
        if not in_short:
            sentence.stylize("yellow", len(condition.text) - len(condition.finding.remedy))
        lines.append((age(condition.opened, now=now), sentence))
    count = len(lines)
    head = Text(f"{count} thing{'s do' if count > 1 else ' does'} not work:", style="bold red")
    return Group(head, HangingSentences(lines, in_short=in_short))


def _headline(overview: Overview) -> Text:
    state = ("demo is running" if overview.demo else "running") if overview.running else "not running"
    line = Text.assemble(("Millrace ", "bold"), (state, "green" if overview.running else "yellow"))
    line.append(f"  {overview.data_dir}", style="dim")
    for what, address in (("live", overview.page_url), ("Dagster", overview.ui_url)):
        if address:
            line.append(f"  {what} ", style="dim").append(address, style="cyan")
    return line


def services_table(services: Sequence[ServiceRow]) -> FittedTable:
    """The system's processes."""
    rows = table("service", "state", "pid", "restarts", "", right=("pid", "restarts"), least=("pid",))
    for row in services:
        state = "[green]running[/]" if row.running else "[red]down[/]"
        rows.add_row(row.name, state, str(row.pid or ""), str(row.restarts or ""), _first(row.error))
    return rows


def services_line(services: Sequence[ServiceRow]) -> RenderableType:
    """The same in a line, and one for each that is down."""
    down = [row for row in services if not row.running]
    again = [f"{row.name} {row.restarts}" for row in services if row.restarts]
    line = Text.assemble(("services  ", "bold"), (f"{len(services) - len(down)} running", "green"))
    if again:
        line.append(f", started again: {', '.join(again)}")
    wrong = [Text(f"  {row.name} is down: {row.error or 'it starts again'}", "red") for row in down]
    return Group(line, *wrong)


def streams_table(
    streams: Sequence[StreamRow], *, now: datetime, rates: Mapping[str, float] | None = None
) -> FittedTable:
    """The streams; `rates` (events a second) adds a column."""
    columns = ["stream", "via", "lag", "lag s", "rows", "open rejects", "loaded", "newest", ""]
    if rates is not None:
        columns.insert(2, "per s")
    rows = table(*columns, right=("lag", "lag s", "rows", "open rejects", "per s"), least=("via", "newest"))
    for row in streams:
        rate = [] if rates is None else [f"{rates[row.stream]:.1f}" if row.stream in rates else "?"]
        unknown = bool(row.error)
        rows.add_row(
            row.stream,
            row.kind,
            *rate,
            "?" if unknown else f"{row.lag_events:,}",
            "?" if unknown or row.lag_seconds is None else f"{row.lag_seconds:,.1f}",
            f"{row.rows:,}",
            f"{row.open_rejects:,}",
            age(row.last_load_at, now=now),
            age(row.last_event_at, now=now),
            f"[red]{_first(row.error)}[/]" if unknown else _rebuilt(row),
        )
    return rows


def schemas_table(streams: Sequence[StreamRow], *, now: datetime) -> FittedTable:
    """The newest schema of a registry in each stream, and what it changed."""
    rows = table("stream", "schema", "in use since", "in use", "seen", "", right=("in use", "seen"))
    for row in streams:
        for each in row.schemas:
            newest = each.newest
            rows.add_row(
                row.stream,
                escape(each.label(newest)),
                age(newest.since, now=now),
                str(sum(version.in_use for version in each.versions)),
                str(len(each.versions)),
                f"[yellow]{escape(newest.changes)}[/]" if newest.breaks else escape(newest.changes),
            )
    return rows


def _rebuilt(row: StreamRow) -> str:
    if row.rebuilt_rows is None:
        return ""
    return f"[cyan]staging is built again: {row.rebuilt_rows:,} of at most {row.rows:,} rows[/]"


def models_table(
    models: Sequence[AssetRecord],
    checks: Sequence[CheckRecord],
    *,
    now: datetime,
    publishing: Mapping[str, float] | None = None,
) -> FittedTable:
    """The models; for marts with a budget, how old an event was when it was last seen there, and why.

    Args:
        models: When each was built.
        checks: Those of freshness have the numbers.
        now: UTC, for ages.
        publishing: Mart → seconds from there to PostgreSQL; a column where anything is published.
    """
    hops = (*_HOPS, _PUBLISHING) if publishing else _HOPS
    names = ["budget s", "spent s", *hops]
    rows = table("model", "built", *names, right=names, least=hops)
    freshness = {check.asset: check for check in checks if "budget_seconds" in check.numbers}
    for record in models:
        check = freshness.get(record.asset)
        numbers = check.numbers if check else {}
        figures = [numbers.get(name) for name in ("measured", *(f"{hop}_seconds" for hop in _HOPS))]
        colour = _COLOURS[check.outcome] if check and check.outcome in _COLOURS else ""
        if publishing:
            figures.append(publishing.get(record.asset.rpartition("/")[2]))
        cells = ["" if figure is None else f"{figure:.1f}" for figure in figures]
        rows.add_row(
            escape(record.asset),
            age(record.built_at, now=now),
            f"{numbers['budget_seconds']:g}" if "budget_seconds" in numbers else "",
            f"[{colour}]{cells[0]}[/]" if colour else cells[0],
            *cells[1:],
        )
    return rows


_ALWAYS = ("pending", "delivered", "failed")


def reactions_table(reactions: Mapping[str, Mapping[str, int]]) -> FittedTable:
    """What each reaction got, and waits for."""
    seldom = {state for state in STATES if not any(counts.get(state) for counts in reactions.values())}
    shown = [state for state in STATES if state in _ALWAYS or state not in seldom]
    rows = table("reaction", *shown, right=shown, least=("dismissed", "given_up"))
    for name, counts in reactions.items():
        rows.add_row(escape(name), *(f"{counts.get(state, 0):,}" for state in shown))
    return rows


def runs_table(runs: Sequence[RunRecord], *, now: datetime) -> FittedTable:
    """The newest runs."""
    rows = table("run", "job", "by", "state", "took s", "ended", right=("took s",))
    for run in runs:
        took = (
            f"{(run.ended_at - run.started_at).total_seconds():.1f}"
            if run.ended_at and run.started_at
            else ""
        )
        colour = _COLOURS.get(run.status, "cyan")
        rows.add_row(
            run.run_id[:8], escape(run.job), escape(run.sensor or "-"), f"[{colour}]{run.status}[/]", took,
            age(run.ended_at, now=now) if run.ended_at else "",
        )  # fmt: skip
    return rows


def checks_line(checks: Sequence[CheckRecord]) -> Text:
    """How many came out how."""
    counts = {name: sum(check.outcome == name for check in checks) for name in _COLOURS if name.islower()}
    line = Text.assemble(("checks  ", "bold"))
    for name, count in counts.items():
        if count or name in ("passed", "failed"):
            line.append(f"{count} {name.replace('_', ' ')}  ", style=_COLOURS[name] if count else "dim")
    if hourly := sum(check.hourly for check in checks):
        line.append(f"({hourly} of them hourly)", style="dim")
    return line


def checks_summary(checks: Sequence[CheckRecord]) -> RenderableType:
    """How many passed, every one that did not, and what those that passed have noted."""
    line = checks_line(checks)
    bad = table("asset", "check", "runs", "result", "")
    for check in checks:
        name = (escape(check.asset), escape(check.check), "hourly" if check.hourly else "each build")
        if check.outcome == "passed" and check.message:
            bad.add_row(*name, Text("noted", "dim"), _first(check.message))
        if check.outcome != "passed":
            result = Text(check.outcome.replace("_", " "), _COLOURS.get(check.outcome, "cyan"))
            bad.add_row(*name, result, _first(check.message))
    return Group(line, bad) if bad.row_count else line


def _first(message: str) -> str:
    return escape((message.strip().splitlines() or [""])[0])
