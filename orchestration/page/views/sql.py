"""The page SQL: a form, what there is to ask, and an answer as a table."""

from collections.abc import Sequence
from typing import Any

from orchestration.page.html import Html, nothing, table, tag, tile
from orchestration.page.look import Look
from orchestration.page.views.marts import answer_table
from orchestration.page.views.overview import errors, version

LIMITS = (100, 1_000, 10_000)
_EXAMPLE = "select * from raw.batches order by ingested_at desc"


def sql_form() -> Html:
    """The form; it stays as it is while tiles change."""
    options = [tag("option", f"{limit:,}", value=limit) for limit in LIMITS]
    return tag(
        "form",
        tag("label", "One SELECT; names without a schema are looked for in marts first", for_="sql"),
        tag("textarea", _EXAMPLE, id="sql", rows=5, spellcheck="false", autocapitalize="off"),
        tag(
            "div",
            tag("button", "Run", type="submit", title="Ctrl-Enter"),
            tag("label", "rows ", tag("select", options, id="limit")),
            tag("span", id="said", class_="dim", role="status"),
            class_="row",
        ),
        tag("div", id="answer", aria_live="polite"),
        id="ask",
        class_="tile wide",
    )


def sql_tiles(look: Look) -> dict[str, Html]:
    """What there is to ask."""
    names = sorted(look.marts)
    streams = [row.stream for row in look.overview.streams]
    rows = [(name, tag("code", f"from {look.marts[name].schema}.{look.marts[name].table}")) for name in names]
    rows += [(f"raw.{name}", tag("code", f"from raw.{name}")) for name in streams]
    shown = table(("table", "to ask it"), rows) if rows else nothing("Nothing is built yet.")
    return {**errors(look), "contents": tile("What there is", shown, note=version(look), kind="wide")}


def answer(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, limit: int, version: int) -> Html:
    """An answer.

    Args:
        columns: Of the rows.
        rows: One more than the limit, where there are more.
        limit: How many are shown.
        version: Of the lake that was asked.
    """
    more = f"; there are more than {limit:,}" if len(rows) > limit else ""
    count = min(len(rows), limit)
    said = f"{count:,} row{'' if count == 1 else 's'}{more} · version {version:,} of the lake"
    body = answer_table(columns, rows[:limit]) if rows else None
    return tag("div", tag("p", said, class_="dim note"), body)
