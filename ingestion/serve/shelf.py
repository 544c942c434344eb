"""Which marts are served, and which batches each has taken in: two small files in the data folder.

The first is written with the definitions, the second by runs; without the first nothing is served.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ingestion.json_file import write_json

_FOLDER = "marts"
_SERVED, _SHOWN = "served.json", "shown.json"


@dataclass(frozen=True)
class Mart:
    """A mart that is served.

    Attributes:
        name: As programs ask for it.
        schema: Of its table or view.
        table: Its table or view.
        streams: That it follows from.
        key: The columns that identify its rows, as its model declares; none where it does not.
        published: Whether PostgreSQL gets it: the product's own are read where they are.
        description: What its project says of it.
        columns: Column and what its project says of it.
    """

    name: str
    schema: str
    table: str
    streams: tuple[str, ...]
    key: tuple[str, ...] = ()
    published: bool = True
    description: str = ""
    columns: tuple[tuple[str, str], ...] = ()


def write_served(data_dir: Path, marts: Iterable[Mart]) -> None:
    """Say which marts are served; all others are not.

    Args:
        data_dir: The data folder.
        marts: The marts.

    Raises:
        StorageError: The file cannot be written.
    """
    path, content = data_dir / _FOLDER / _SERVED, [asdict(mart) for mart in marts]
    if _read(path) != json.loads(json.dumps(content)):
        write_json(path, content)


def served_marts(data_dir: Path) -> dict[str, Mart]:
    """The marts that are served, by name; none while nobody has said so."""
    try:
        marts = [
            Mart(
                each["name"],
                each["schema"],
                each["table"],
                tuple(each["streams"]),
                tuple(each["key"]),
                bool(each["published"]),
                each["description"],
                tuple((column, text) for column, text in each["columns"]),
            )
            for each in _read(data_dir / _FOLDER / _SERVED) or ()
        ]
    except (KeyError, TypeError, ValueError):
        return {}
    return {mart.name: mart for mart in marts}


def note_shown(data_dir: Path, shown: Mapping[str, Mapping[str, int]]) -> None:
    """Note what marts have taken in. Of two that note at once one may be lost, so a mart may show more.

    Args:
        data_dir: The data folder.
        shown: Mart → stream → its newest batch of which all is in the mart.

    Raises:
        StorageError: The file cannot be written.
    """
    known = shown_batches(data_dir)
    fresh = {name: {**known.get(name, {}), **batches} for name, batches in shown.items()}
    write_json(data_dir / _FOLDER / _SHOWN, {**known, **fresh})


def shown_batches(data_dir: Path) -> dict[str, dict[str, int]]:
    """Mart → stream → its newest batch of which all is in the mart, as was noted last."""
    found = _read(data_dir / _FOLDER / _SHOWN)
    return found if isinstance(found, dict) else {}


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
