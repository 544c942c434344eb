"""What the page Marts reads: each tile's rows, all of one version, on a connection that is locked in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb

from ingestion.errors import MillraceError
from ingestion.serve.moments import Moments
from ingestion.serve.shelf import served_marts, shown_batches
from ingestion.settings import Settings
from orchestration.cli.query import Questions
from orchestration.page.declared import Tile, read_tiles
from orchestration.page.look import Reach, read_reaches

_TILE_SECONDS = 5.0
_SHOWN_ROWS = 8


@dataclass(frozen=True)
class Filled:
    """A tile with its rows.

    Attributes:
        tile: As declared.
        columns: Of the rows.
        rows: At most the tile's limit.
        why_not: Why there are none; empty otherwise.
        reach: How far the mart follows; None of SQL.
    """

    tile: Tile
    columns: tuple[str, ...] = ()
    rows: Sequence[Sequence[Any]] = ()
    why_not: str = ""
    reach: Reach | None = None


@dataclass(frozen=True)
class MartsContent:
    """All tiles.

    Attributes:
        version: Of the lake; None where it cannot be read.
        filled: In their order.
        mistake: What is wrong with page.yml; empty otherwise.
    """

    version: int | None = None
    filled: tuple[Filled, ...] = ()
    mistake: str = ""


@dataclass
class MartsReader:
    """Reads them over a connection of its own: a tile that takes too long ends alone."""

    settings: Settings
    _questions: Questions | None = field(default=None)
    _moments: Moments = field(default_factory=Moments)

    def read(self) -> MartsContent:
        """Every tile of one version; what cannot be read says why."""
        mistake = ""
        try:
            declared = read_tiles(self.settings.project)
        except MillraceError as error:
            declared, mistake = None, str(error)
        marts = served_marts(self.settings.data_dir)
        if declared is None:
            declared = tuple(
                Tile(title=name, mart=name, limit=_SHOWN_ROWS, wide=True) for name in sorted(marts)
            )
        self._questions = self._questions or Questions(self.settings)
        try:
            with self._questions.one_version() as (lake, version):
                reaches = read_reaches(
                    lake, marts, shown_batches(self.settings.data_dir), version, known=self._moments
                )
                filled = tuple(self._filled(each, self._questions, reaches) for each in declared)
                return MartsContent(version, filled, mistake)
        except (MillraceError, duckdb.Error) as error:
            why = str(error).splitlines()[0]
            return MartsContent(None, tuple(Filled(each, why_not=why) for each in declared), mistake)

    def _filled(self, tile: Tile, questions: Questions, reaches: Mapping[str, Reach]) -> Filled:
        try:
            columns, rows = questions.first_rows(
                tile.question, limit=tile.limit, within_seconds=_TILE_SECONDS
            )
        except (MillraceError, duckdb.Error) as error:
            return Filled(tile, why_not=str(error).splitlines()[0])
        reach = reaches.get(tile.mart) if tile.mart is not None else _furthest(reaches)
        return Filled(tile, columns, rows, "", reach)

    def close(self) -> None:
        """Close the connection."""
        if self._questions is not None:
            self._questions.close()
            self._questions = None


def _furthest(reaches: Mapping[str, Reach]) -> Reach | None:
    """Of SQL, which may read any mart: what holds for all of them."""
    if not reaches:
        return None
    fresh = [(name, moment) for each in reaches.values() for name, moment in each.fresh_to.items()]
    complete = [(name, moment) for each in reaches.values() for name, moment in each.complete_to.items()]
    return Reach(_least(fresh), _least(complete))


def _least(found: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    least: dict[str, Any] = {}
    for name, moment in found:
        least[name] = min(moment, least.get(name, moment))
    return least
