"""Commands and what they printed → an SVG that looks like a terminal; text stays text."""

from collections.abc import Iterable, Sequence
from html import escape
from textwrap import wrap

_COLUMNS = 110
_LINE, _CHARACTER, _MARGIN = 18, 7.83, 16  # pixels of a 13-pixel font


def terminal_picture(said: Iterable[tuple[str, float, str]], *, most_lines: int = 14) -> str:
    """Draw a session.

    Args:
        said: Command, how many seconds it took, and its output.
        most_lines: How many lines of each output are shown.
    """
    lines: list[tuple[str, str]] = []
    for command, seconds, output in said:
        lines.append(("command", f"$ {command}"))
        shown = [part for line in output.rstrip().splitlines() for part in _fitting(line)]
        lines += [("output", line) for line in shown[:most_lines]]
        if len(shown) > most_lines:
            lines.append(("note", f"… {len(shown) - most_lines} more lines"))
        lines += [("note", f"{seconds:.1f} s"), ("output", "")]
    return _drawn(lines[:-1])


def _fitting(line: str) -> Sequence[str]:
    return wrap(line, _COLUMNS, drop_whitespace=False, subsequent_indent="    ") or [""]


def _drawn(lines: Sequence[tuple[str, str]]) -> str:
    width, height = round(_COLUMNS * _CHARACTER) + 2 * _MARGIN, len(lines) * _LINE + 2 * _MARGIN
    texts = (
        f'<text class="{kind}" x="{_MARGIN}" y="{_MARGIN + 13 + number * _LINE}">{escape(line)}</text>'
        for number, (kind, line) in enumerate(lines)
        if line.strip()
    )
    style = (
        "text{font:13px ui-monospace,Menlo,Consolas,monospace;white-space:pre}"
        ".command{fill:#fff;font-weight:bold}.output{fill:#c9d1d9}.note{fill:#7d8590}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}">\n'
        f"<style>{style}</style>\n"
        f'<rect width="{width}" height="{height}" rx="8" fill="#0d1117"/>\n' + "\n".join(texts) + "\n</svg>\n"
    )
