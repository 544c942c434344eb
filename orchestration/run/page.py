"""Some rows of a table for its page in the web UI, where MILLRACE_UI_PREVIEW_ROWS asks for them."""

from typing import Any

import duckdb
from dagster import MetadataValue

from ingestion.lake.lake import Lake

_MOST_CHARACTERS = 60
_MOST_COLUMNS = 40


def preview(lake: Lake, table: str) -> dict[str, Any]:
    """A Markdown table of any few rows, long values cut; nothing when no rows are wanted.

    Args:
        lake: The lake; its settings say how many rows.
        table: Schema and name, as in marts.orders.
    """
    count = lake.settings.ui_preview_rows
    if not count:
        return {}
    name = ".".join(f'"{part}"' for part in table.split("."))
    try:
        answer = lake.connection.execute(f"from {name} limit {count}")
        columns = [column[0] for column in answer.description or ()][:_MOST_COLUMNS]
        rows = answer.fetchall()
    except duckdb.Error as error:
        return {"preview": MetadataValue.text(f"{table} cannot be read: {str(error).splitlines()[0]}")}
    lines = [columns, ["---"] * len(columns), *(row[: len(columns)] for row in rows)]
    text = "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)
    return {"preview": MetadataValue.md(text if rows else f"{table} is empty")}


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    short = text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 1]}…"
    return " ".join(short.replace("|", "\\|").split())
