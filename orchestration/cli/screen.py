"""A view that fits the window: blocks in the order in which they matter, and a line for what has no room."""

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment
from rich.text import Text

_Lines = list[list[Segment]]


class OnOneScreen:
    """A title, blocks with an empty line before each, an end.

    Args:
        title: The first line.
        end: The last line.
    """

    def __init__(self, title: RenderableType, *, end: RenderableType) -> None:
        self._title, self._end = title, end
        self._blocks: list[tuple[str, tuple[RenderableType, ...]]] = []

    def add(self, name: str, block: RenderableType, *, shorter: RenderableType | None = None) -> None:
        """Add a block below the others.

        Args:
            name: Names it where it has no room.
            block: What it shows.
            shorter: The same in fewer lines, for where that has no room.
        """
        self._blocks.append((name, (block,) if shorter is None else (block, shorter)))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Rich's protocol of what can be printed."""

        def lines_of(each: RenderableType) -> _Lines:
            wrapping = options.update(height=None, no_wrap=False, overflow="fold")
            return console.render_lines(each, wrapping, pad=False)

        title, end = lines_of(self._title), lines_of(self._end)
        room = console.height - len(title) - len(end) - 2  # an empty line before the end; one for the cursor
        versions = [(name, [lines_of(version) for version in block]) for name, block in self._blocks]
        left_out: list[str] = []
        yield from _printed(title)
        for (name, _), lines in zip(versions, _fitting([each for _, each in versions], room), strict=True):
            if lines is None:
                left_out.append(name)
            else:
                yield Segment.line()
                yield from _printed(lines)
        yield Segment.line()
        if left_out:
            yield Text(f"No room for: {', '.join(left_out)}. 'millrace status' shows all.", "yellow")
        yield from _printed(end)


def _fitting(blocks: list[list[_Lines]], room: int) -> list[_Lines | None]:
    """The longest version of each block with which as many blocks as possible have room, the first first."""
    chosen: list[int | None] = [len(versions) - 1 for versions in blocks]

    def height() -> int:
        heights = [
            1 + len(versions[number])
            for versions, number in zip(blocks, chosen, strict=True)
            if number is not None
        ]
        return sum(heights) + (None in chosen)

    for place in range(len(blocks) - 1, 0, -1):  # the first one always stays
        if height() > room:
            chosen[place] = None
    for place, number in enumerate(chosen):
        if number:
            chosen[place] = 0
            if height() > room:
                chosen[place] = number
    return [
        None if number is None else versions[number] for versions, number in zip(blocks, chosen, strict=True)
    ]


def _printed(lines: _Lines) -> Iterator[Segment]:
    for line in lines:
        yield from line
        yield Segment.line()
