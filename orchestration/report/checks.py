"""The report's sections on checks: contracts and results over time, and what did not work."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from orchestration.checks.contracts import Contract, list_checks
from orchestration.conditions.kinds import KINDS
from orchestration.drawing.html import Child, Html, tag
from orchestration.records.history import OUTCOMES, CheckHistory
from orchestration.report.charts import stripe
from orchestration.report.content import SLOTS, Content
from orchestration.report.parts import details, lasted, legend, moment, nothing, percent, section, table

_WORDS = {"passed": "passed", "warned": "warned", "could_not_run": "could not run", "failed": "failed"}
_COLUMNS = ("ran", "passed", "warned", "could not run", "failed")
_MOST_CONDITIONS = 200


def figures(content: Content) -> Html:
    """The report in a few numbers."""
    counts = _sum(content.checks)
    ran = sum(counts.values())
    wrong = [each for each in content.conditions if each.closed is None]
    batches = content.ops.get("ops_batches", [])
    events = sum(row["events_read"] for row in batches)
    marts = [values for values in content.freshness.values() if values]
    within = sum(each.seconds <= each.budget_seconds for values in marts for each in values)
    measured = sum(map(len, marts))
    shown: list[tuple[str, Child]] = [
        ("does not work now", tag("span", f"{len(wrong):,}", class_="bad-text" if wrong else "good-text")),
        ("events read", f"{events:,}"),
        ("rejected", f"{sum(row['events_rejected'] for row in batches):,}"),
        ("results of checks", f"{ran:,}"),
        ("failed or could not run", f"{counts['failed'] + counts['could_not_run']:,}"),
        ("marts within their budget", percent(within, measured)),
    ]
    return tag(
        "dl", [tag("div", tag("dt", name), tag("dd", value)) for name, value in shown], class_="figures"
    )


def conditions(content: Content) -> Html:
    """What did not work, the newest first."""
    if not content.conditions:
        return section("conditions", "What did not work", nothing("Nothing: everything worked."))
    rows = []
    for each in content.conditions[:_MOST_CONDITIONS]:
        end = each.closed or content.span.end
        state = "open" if each.closed is None else lasted((end - each.opened).total_seconds())
        rows.append(
            (
                moment(each.opened), tag("span", state, class_="bad-text" if each.closed is None else None),
                KINDS[each.finding.name].title, each.finding.subject, each.finding.sentence,
            )
        )  # fmt: skip
    return section(
        "conditions",
        "What did not work",
        table(("since (UTC)", "lasted", "what", "of", ""), rows),
        note=f"{len(rows)}, the newest first; the journal keeps the last 200 that are over",
    )


def contracts(content: Content) -> Html:
    """Results of all checks over time, a row a table, and what its contract promises."""
    if not content.checks:
        return section("checks", "Contracts and checks", nothing("No check has run in this time."))
    by_asset: dict[str, list[CheckHistory]] = defaultdict(list)
    for history in content.checks:
        by_asset[history.asset].append(history)
    rows = [
        (tag("strong", asset), f"{len(each)}", _strip(each, asset), *_numbers(each))
        for asset, each in sorted(by_asset.items(), key=lambda item: (_rank(item[1]), item[0]))
    ]
    marks = legend([*((name, _WORDS[name]) for name in OUTCOMES)])
    opened = [_promises(content, asset, each) for asset, each in sorted(by_asset.items())]
    return section(
        "checks",
        "Contracts and checks",
        table(("of", "checks", "", *_COLUMNS), rows, right=("checks", *_COLUMNS)),
        marks,
        opened,
        note=f"from {moment(content.span.start)} to {moment(content.span.end)} UTC in {SLOTS} parts; each "
        "shows its worst result",
    )


def _promises(content: Content, asset: str, histories: Sequence[CheckHistory]) -> Html:
    """The checks of a table, the contract's in its words."""
    contract = _contract_of(content, asset)
    said = {each.name: each for each in list_checks(contract)} if contract else {}
    rows = []
    for history in sorted(histories, key=lambda each: (_rank([each]), each.check)):
        check = said.get(history.check)
        promise = f"{check.description} ({check.threshold})" if check else None
        rows.append((history.check, promise, *_numbers([history])))
    head = [tag("strong", asset), f" · {len(rows)} check{'s' if len(rows) != 1 else ''}"]
    head += [f", {contract.origin}"] if contract else []
    return details(head, table(("check", "the contract says", *_COLUMNS), rows, right=_COLUMNS))


def _contract_of(content: Content, asset: str) -> Contract | None:
    """By the table's name; the product's own models have keys of another beginning."""
    name = asset.replace("/", ".")
    return content.contracts.get(name) or content.contracts.get(f"marts.{name.rpartition('.')[2]}")


def _strip(histories: Sequence[CheckHistory], name: str) -> Html:
    slots: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for history in histories:
        for at, counts in history.slots.items():
            for outcome, count in counts.items():
                slots[at][outcome] += count
    return stripe(slots, of=SLOTS, name=name)


def _numbers(histories: Sequence[CheckHistory]) -> Iterator[Child]:
    counts = _sum(histories)
    yield f"{sum(counts.values()):,}"
    yield percent(counts["passed"], sum(counts.values()))
    yield from (
        tag("span", f"{counts[name]:,}", class_=kind) if counts[name] else "0"
        for name, kind in (("warned", "warn-text"), ("could_not_run", "bad-text"), ("failed", "bad-text"))
    )


def _rank(histories: Sequence[CheckHistory]) -> int:
    counts = _sum(histories)
    return next((at for at, name in enumerate(reversed(OUTCOMES)) if counts[name]), len(OUTCOMES))


def _sum(histories: Sequence[CheckHistory]) -> Mapping[str, int]:
    return {name: sum(each.counts()[name] for each in histories) for name in OUTCOMES}
