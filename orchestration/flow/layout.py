"""Places for the boxes of a flow, in columns from left to right, with few crossings.

The layered way of Sugiyama, Tagawa and Toda (1981): an arrow over several columns gets a narrow place in
each, the order in a column follows the mean of its neighbours, and so does the height.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from orchestration.flow.graph import Flow

_SWEEPS = 12
_Neighbours = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Sizes:
    """In the units of the picture.

    Attributes:
        box: Height of a box.
        lane: Height of what an arrow takes in a column that it crosses.
        gap: Between two of a column.
    """

    box: float = 46.0
    lane: float = 12.0
    gap: float = 18.0


@dataclass(frozen=True)
class Layout:
    """Where everything is.

    Attributes:
        columns: The keys of each column, from top to bottom; an arrow that crosses it has a key of its own.
        middles: Key → height of its middle.
        routes: Each arrow as the keys that it passes, with both ends.
        height: Of the whole.
    """

    columns: tuple[tuple[str, ...], ...]
    middles: Mapping[str, float]
    routes: tuple[tuple[str, ...], ...]
    height: float


def lay_out(flow: Flow, sizes: Sizes | None = None) -> Layout:
    """Find a place for each box; the same flow has the same places."""
    sizes = sizes or Sizes()
    used = sorted({node.column for node in flow.nodes})
    place = {node.key: used.index(node.column) for node in flow.nodes}
    columns: list[list[str]] = [[] for _ in used]
    for node in flow.nodes:
        columns[place[node.key]].append(node.key)
    routes = []
    for source, target in flow.arrows:
        lanes = [f"{source} > {target} @ {at}" for at in range(place[source] + 1, place[target])]
        for at, lane in enumerate(lanes, place[source] + 1):
            columns[at].append(lane)
        routes.append((source, *lanes, target))
    left, right = _neighbours(routes)
    for sweep in range(_SWEEPS):
        forwards = sweep % 2 == 0
        _order(columns if forwards else columns[::-1], left if forwards else right)
    boxes = {node.key for node in flow.nodes}
    heights = {key: sizes.box if key in boxes else sizes.lane for column in columns for key in column}
    middles = _middles(columns, heights, left, right, gap=sizes.gap)
    top = min((middles[key] - heights[key] / 2 for key in middles), default=0.0)
    middles = {key: round(middle - top, 1) for key, middle in middles.items()}
    height = max((middles[key] + heights[key] / 2 for key in middles), default=0.0)
    return Layout(tuple(map(tuple, columns)), middles, tuple(routes), height)


def _neighbours(routes: Iterable[Sequence[str]]) -> tuple[_Neighbours, _Neighbours]:
    left, right = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    for route in routes:
        for before, after in pairwise(route):
            left[after].append(before)
            right[before].append(after)
    return left, right


def _order(columns: Sequence[list[str]], towards: _Neighbours) -> None:
    for before, column in pairwise(columns):
        at = {key: number for number, key in enumerate(before)}
        own = {key: float(number) for number, key in enumerate(column)}

        def mean(key: str, at: Mapping[str, int] = at, own: Mapping[str, float] = own) -> float:
            there = [at[each] for each in towards.get(key, ()) if each in at]
            return sum(there) / len(there) if there else own[key]

        column.sort(key=mean)


def _middles(
    columns: Sequence[Sequence[str]],
    heights: Mapping[str, float],
    left: _Neighbours,
    right: _Neighbours,
    *,
    gap: float,
) -> dict[str, float]:
    middles: dict[str, float] = {}
    for column in columns:
        _stack(column, [0.0] * len(column), heights, middles, gap=gap)
    for sweep in range(_SWEEPS):
        forwards = sweep % 2 == 0
        towards = left if forwards else right
        for column in columns if forwards else reversed(columns):
            wanted = []
            for key in column:
                there = [middles[each] for each in towards.get(key, ())]
                wanted.append(sum(there) / len(there) if there else middles[key])
            _stack(column, wanted, heights, middles, gap=gap)
    return middles


def _stack(
    column: Sequence[str],
    wanted: Sequence[float],
    heights: Mapping[str, float],
    middles: dict[str, float],
    *,
    gap: float,
) -> None:
    """Give each the height that it wants, or the nearest that keeps order and distance.

    Neighbours that would overlap form a block, which takes the mean of what its members want (the way that
    isotonic regression calls pool adjacent violators).
    """
    offsets, blocks = [0.0], list[tuple[float, int]]()
    for above, below in pairwise(column):
        offsets.append(offsets[-1] + (heights[above] + heights[below]) / 2 + gap)
    for want, offset in zip(wanted, offsets, strict=True):
        mean, size = want - offset, 1
        while blocks and blocks[-1][0] >= mean:
            other, others = blocks.pop()
            mean, size = (mean * size + other * others) / (size + others), size + others
        blocks.append((mean, size))
    starts = [mean for mean, size in blocks for _ in range(size)]
    for key, start, offset in zip(column, starts, offsets, strict=True):
        middles[key] = start + offset
