"""Sentences that wrap beside a short mark, such as how long ago something was."""

import re
from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

_GAP = 2
_NARROWEST = 20
_LONG_PATH = re.compile(r"(?<![^\s'\"(])(/[^/\s]+/)\S{20,}?(/[^/\s]+)(?=[\s,;:]|$)")
"""A path of many folders: its first and its last part say which one is meant."""


class HangingSentences:
    """One below the other; the lines of each begin at the same column.

    Args:
        sentences: Mark and sentence of each.
        in_short: One line each, the middle of long paths left out, cut at the end.
    """

    def __init__(self, sentences: Sequence[tuple[str, Text]], *, in_short: bool = False) -> None:
        self._sentences, self._in_short = sentences, in_short

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Rich's protocol of what can be printed."""
        indent = max(len(mark) for mark, _ in self._sentences) + _GAP
        width = max(_NARROWEST, options.max_width - indent)
        for mark, sentence in self._sentences:
            lines = (
                [_in_one_line(sentence, width)]
                if self._in_short
                else list(sentence.wrap(console, width, overflow="fold"))
            )
            for number, line in enumerate(lines):
                line.rstrip()
                yield Text.assemble((f"{'' if number else mark:<{indent}}", "dim"), line)


def _in_one_line(sentence: Text, width: int) -> Text:
    line = Text(_LONG_PATH.sub(r"\1…\2", sentence.plain), sentence.style)
    line.truncate(width, overflow="ellipsis")
    return line
