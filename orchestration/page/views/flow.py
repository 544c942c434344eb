"""The flow of the running project: each box with its state, each arrow with its rate and what waits on it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from orchestration.flow.graph import Flow, Node
from orchestration.flow.svg import Mark, Marks, drawing
from orchestration.page.html import Html, nothing, tag, tile
from orchestration.page.look import Look
from orchestration.page.views.conditions import seconds
from orchestration.page.views.outlets import outlet_marks
from orchestration.page.views.overview import errors, rate, version
from orchestration.records.overview import StreamRow
from orchestration.records.reader import CheckRecord

_WRONG = ("failed", "could_not_run")
_LATE_SECONDS = 30.0


def flow_tiles(look: Look, flow: Flow, problems: Iterable[str] = ()) -> dict[str, Html]:
    """The picture.

    Args:
        look: Of the running system.
        flow: Of its project, with outlets.
        problems: Why models cannot be built.
    """
    tiles = errors(look)
    if left := list(problems):
        lines = [tag("li", tag("p", each, class_="sentence")) for each in left]
        tiles["left_out"] = tile(
            "What cannot be built", tag("ul", lines, class_="conditions"), kind="wide bad"
        )
    if not flow.nodes:
        empty = nothing("No stream is declared yet: 'millrace add' proposes one from a topic.")
        return {**tiles, "flow": tile("From the sources on", empty, kind="wide")}
    own, outlets = marks_of(look, flow), outlet_marks(look, flow)
    marks = Marks({**own.boxes, **outlets.boxes}, {**own.arrows, **outlets.arrows})
    picture = Html(drawing(flow, name="What flows where, from the sources on", marks=marks))
    shown = tag("div", picture, class_="scroll flow", tabindex="0")
    return {**tiles, "flow": tile("From the sources on", shown, _legend(), note=version(look), kind="wide")}


def marks_of(look: Look, flow: Flow) -> Marks:
    """What is said of each box and each arrow."""
    streams = {row.stream: row for row in look.overview.streams}
    failed = _failed(look.overview.checks)
    subjects = {each.finding.subject for each in look.overview.conditions}
    ages = {record.asset.rpartition("/")[2]: record.built_at for record in look.overview.models}
    boxes, arrows = dict[str, Mark](), dict[tuple[str, str], Mark]()
    for node in flow.nodes:
        stage, _, name = node.key.partition(".")
        if stage in ("source", "buffer", "raw") and name in streams:
            boxes[node.key] = _of_stream(node, streams[name], wrong=name in subjects, failed=failed)
        elif node.stage in ("model", "seed"):
            boxes[node.key] = _of_model(look, node, ages=ages, subjects=subjects, failed=failed)
    for source, target in flow.arrows:
        name = target.removeprefix("raw.")
        if target.startswith("raw.") and name in streams:
            arrows[source, target] = _arriving(look, streams[name])
        elif source.startswith("raw.") and source.removeprefix("raw.") in streams:
            row = streams[source.removeprefix("raw.")]
            arrows[source, target] = Mark("", "moving" if look.rates.get(row.stream) else "")
    return Marks(boxes, arrows)


def _arriving(look: Look, row: StreamRow) -> Mark:
    """Of the arrow into raw: events a second above it, unread events below."""
    if row.error:
        return Mark("?", "bad")
    waits = f"{row.lag_events:,} unread" if row.lag_events else "all in"
    if row.lag_events and row.lag_seconds:
        waits = f"{row.lag_events:,} · {seconds(row.lag_seconds)}"
    late = (row.lag_seconds or 0.0) > _LATE_SECONDS
    state = "warn" if late else "moving" if look.rates.get(row.stream) else ""
    return Mark(f"{rate(look, row)}/s\n{waits}", state)


def _of_stream(node: Node, row: StreamRow, *, wrong: bool, failed: Mapping[str, int]) -> Mark:
    href = f"/stream/{quote(row.stream, safe='')}"
    if node.stage == "source":
        return Mark(node.caption, "wrong" if row.error or wrong else "", href)
    if node.stage == "raw":
        count = failed.get(f"raw/{row.stream}", 0)
        rejects = f", {row.open_rejects:,} rejects" if row.open_rejects else ""
        return Mark(f"{row.rows:,} rows{rejects}", "wrong" if count else "late" if rejects else "", href)
    return Mark(node.caption, "", href)


def _of_model(
    look: Look,
    node: Node,
    *,
    ages: Mapping[str, object],
    subjects: Iterable[str],
    failed: Mapping[str, int],
) -> Mark:
    """A model: whether it was built, and how many of its checks do not pass."""
    count = sum(number for asset, number in failed.items() if asset.rpartition("/")[2] == node.title)
    if count:
        return Mark(f"{count} check{'s' if count > 1 else ''} failed", "wrong")
    if node.title in subjects:
        return Mark(node.caption, "wrong")
    if node.title not in ages:
        return Mark("not built yet", "idle")
    warned = any(
        check.outcome == "warned" and check.asset.rpartition("/")[2] == node.title
        for check in look.overview.checks
    )
    return Mark(node.caption, "late" if warned else "")


def _failed(checks: Iterable[CheckRecord]) -> Mapping[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for check in checks:
        counts[check.asset] += check.outcome in _WRONG
    return {asset: number for asset, number in counts.items() if number}


def _legend() -> Html:
    words = (
        ("wrong", "does not work, or a check failed"),
        ("late", "a warning, or rejects"),
        ("idle", "not built"),
    )
    marks = [tag("span", tag("i", class_=f"key box {kind}"), text) for kind, text in words]
    return tag(
        "p", marks, tag("span", "on an arrow: events a second; unread events, and the age of the oldest"),
        class_="legend",
    )  # fmt: skip
