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

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def contents(settings: Settings) -> list[Relation]:
    """Read the lake's list.

    Raises:
        CatalogUnavailable: The lake cannot be reached.
    """
    with Lake(settings, read_only=True) as lake:
        return list_contents(lake)


def show(relations: Sequence[Relation], *, as_json: bool) -> None:
    """Print the list; a terminal shows as much of each description as fits in its line."""
    if as_json:
        rows = [dataclasses.asdict(relation) for relation in relations]
        json.dump(rows, sys.stdout, default=datetime.isoformat, ensure_ascii=False, indent=1)
        sys.stdout.write("\n")
        return
    now = datetime.now(UTC)
    shown = table("table", "rows", "size", "changed", right=("rows", "size"))
    shown.add_column("description", no_wrap=True, overflow="ellipsis", ratio=1)
    for relation in relations:
        is_view = relation.kind == "view"
        shown.add_row(
            Text(f"{relation.schema}.{relation.name}"),
            "view" if is_view else f"{relation.rows:,}",
            "" if relation.bytes is None else human_bytes(relation.bytes),
            "" if relation.changed_at is None else age(relation.changed_at, now=now),
            Text(relation.description),
        )
    out.print(shown, soft_wrap=False)


def human_bytes(number: int) -> str:
    """As in 1.5 MiB."""
    size, unit = float(number), 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.0f} {_UNITS[unit]}" if unit == 0 else f"{size:.1f} {_UNITS[unit]}"
