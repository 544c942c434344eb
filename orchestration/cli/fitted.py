"""A plain table that fits the terminal: what matters least goes first, and nothing is cut in the middle.

It has to work in 80 columns. What the tables hold is in tables.py and in the commands.
"""

import textwrap
from collections.abc import Iterator, Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

_GAP = 2
_INDENT = "  "
_SHORTEST = 8  # of a name that has to be shortened


class FittedTable:
    """Rows of names and figures, each with an optional sentence, laid out for the width there is.

    Where the columns do not fit, those of `least` are left out in that order, and a last line says which.
    Where that is not enough, each row becomes a few lines of names and values.

    Args:
        columns: Their names; one without a name holds sentences, which may be long.
        right: Those that hold numbers.
        least: Those that may be left out.
    """

    def __init__(
        self, columns: Sequence[str], *, right: Sequence[str] = (), least: Sequence[str] = ()
    ) -> None:
        self._columns = tuple(columns)
        self._right, self._least = frozenset(right), tuple(name for name in least if name in columns)
        self._rows: list[list[Text]] = []

    @property
    def row_count(self) -> int:
        """How many rows it has."""
        return len(self._rows)

    def add_row(self, *cells: str | Text) -> None:
        """Add a row; cells are Rich's markup or text."""
        self._rows.append([Text.from_markup(cell) if isinstance(cell, str) else cell for cell in cells])

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Rich's protocol of what can be printed."""
        yield from self.lines(options.max_width)

    def lines(self, width: int) -> Iterator[Text]:
        """The table, line by line.

        Args:
            width: Of the terminal, in cells.
        """
        shown, left_out = [place for place, name in enumerate(self._columns) if name], []
        for name in self._least:
            if self._width(shown) > width:
                shown.remove(self._columns.index(name))
                left_out.append(name)
        if self._width(shown) > width and not self._shorten(shown, width):
            yield from self._cards(width)
            return
        yield self._line([Text(name, "bold") for name in self._columns], shown)
        for row in self._rows:
            line, sentence = self._line(row, shown), self._sentence(row)
            if sentence and self._width(shown) + _GAP + sentence.cell_len <= width:
                line.pad_right(self._width(shown) + _GAP - line.cell_len)
                yield line.append_text(sentence)
            else:
                yield line
                yield from _wrapped(sentence, width)
        if left_out:
            yield Text(f"not shown in {width} columns: {', '.join(left_out)}", "dim")

    def _widths(self) -> list[int]:
        return [
            max([len(name), *(row[place].cell_len for row in self._rows)])
            for place, name in enumerate(self._columns)
        ]

    def _width(self, shown: Sequence[int]) -> int:
        widths = self._widths()
        return sum(widths[place] for place in shown) + _GAP * (len(shown) - 1)

    def _shorten(self, shown: Sequence[int], width: int) -> bool:
        """Shorten the middle of long names in the first column, if that is enough."""
        excess, widths = self._width(shown) - width, self._widths()
        longest = widths[shown[0]] - excess
        if self._columns[shown[0]] in self._right or longest < max(_SHORTEST, widths[shown[0]] // 2):
            return False
        for row in self._rows:
            name = row[shown[0]]
            if name.cell_len > longest:
                front = (longest - 1 + 1) // 2
                row[shown[0]] = Text.assemble(name[:front], "…", name[-(longest - 1 - front) :])
        return True

    def _line(self, cells: Sequence[Text], shown: Sequence[int]) -> Text:
        widths, line = self._widths(), Text()
        for number, place in enumerate(shown):
            cell, room = cells[place], widths[place] - cells[place].cell_len
            line.append(" " * (_GAP if number else 0))
            if self._columns[place] in self._right:
                line.append(" " * room).append_text(cell)
            else:
                line.append_text(cell).append(" " * room)
        line.rstrip()
        return line

    def _sentence(self, row: Sequence[Text]) -> Text:
        found = [row[place] for place, name in enumerate(self._columns) if not name and row[place].plain]
        return Text("  ").join(found)

    def _cards(self, width: int) -> Iterator[Text]:
        for row in self._rows:
            yield row[0].copy()
            pairs = [
                Text.assemble((f"{name} ", "bold"), row[place])
                for place, name in enumerate(self._columns)
                if place and name and row[place].plain
            ]
            line = Text(_INDENT)
            for pair in pairs:
                if line.cell_len > len(_INDENT) and line.cell_len + _GAP + pair.cell_len > width:
                    yield line
                    line = Text(_INDENT)
                line.append(" " * (_GAP if line.cell_len > len(_INDENT) else 0)).append_text(pair)
            yield line
            yield from _wrapped(self._sentence(row), width)


def _wrapped(sentence: Text, width: int) -> Iterator[Text]:
    style = sentence.spans[0].style if sentence.spans else sentence.style
    lines = textwrap.wrap(sentence.plain, max(20, width - len(_INDENT)))
    yield from (Text(f"{_INDENT}{line}", style) for line in lines)
