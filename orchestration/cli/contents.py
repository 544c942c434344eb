"""`millrace tables`: what is in the lake, with rows, size, age and description."""

import dataclasses
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.text import Text

from ingestion.lake.contents import Relation, list_contents
from ingestion.lake.lake import Lake
from ingestion.settings import Settings
from orchestration.cli.context import out
from orchestration.cli.tables import age, table

_HEADINGS = ("table", "rows", "size", "changed")
_GAP = 2  # between two columns
_LEAST_DESCRIPTION = 12
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def contents(settings: Settings) -> list[Relation]:
    """Read the lake's list.

    Raises:
        CatalogUnavailable: The lake cannot be reached.
    """
    with Lake(settings, read_only=True) as lake:
        return list_contents(lake)


def show(relations: Sequence[Relation], *, as_json: bool) -> None:
    """Print the list; of a long description, as much as fits into its line; JSON has all."""
    if as_json:
        listed = [dataclasses.asdict(relation) for relation in relations]
        json.dump(listed, sys.stdout, default=datetime.isoformat, ensure_ascii=False, indent=1)
        sys.stdout.write("\n")
        return
    now = datetime.now(UTC)
    figures = [_figures(relation, now=now) for relation in relations]
    wide = sum(max(map(len, column)) + _GAP for column in zip(_HEADINGS, *figures, strict=True))
    left = max(out.width - wide, _LEAST_DESCRIPTION)
    shown = table(*_HEADINGS, "description", right=("rows", "size"))
    for parts, relation in zip(figures, relations, strict=True):
        shown.add_row(*(Text(part) for part in parts), Text(_cut(relation.description, left)))
    out.print(shown, soft_wrap=True)


def _figures(relation: Relation, *, now: datetime) -> tuple[str, ...]:
    return (
        f"{relation.schema}.{relation.name}",
        "view" if relation.rows is None else f"{relation.rows:,}",
        "" if relation.bytes is None else human_bytes(relation.bytes),
        "" if relation.changed_at is None else age(relation.changed_at, now=now),
    )


def _cut(text: str, width: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else f"{line[: width - 1]}…"


def human_bytes(number: int) -> str:
    """As in 1.5 MiB."""
    size, unit = float(number), 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.0f} {_UNITS[unit]}" if unit == 0 else f"{size:.1f} {_UNITS[unit]}"
