"""Sentences beside their marks: every word is there in any width, and in short each takes one line."""

import io

import pytest
from rich.console import Console
from rich.text import Text

from orchestration.cli.hanging import HangingSentences

SENTENCE = "the MQTT broker at 127.0.0.1:1883 cannot be reached; check that it runs"


def printed(width: int, *, in_short: bool = False) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(HangingSentences([("now", Text(SENTENCE)), ("12s ago", Text("short"))], in_short=in_short))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [30, 50, 80, 200])
def test_every_word_is_there_below_its_beginning(width: int) -> None:
    *first, second = printed(width)
    assert second == "12s ago  short"
    assert all(len(line) <= width and line == line.rstrip() for line in first)
    assert first[0].startswith("now      the MQTT")
    assert all(line.startswith(" " * 9) for line in first[1:])
    assert " ".join(line[9:] for line in first) == SENTENCE


def test_in_short_each_takes_one_line() -> None:
    first, second = printed(40, in_short=True)
    assert (len(first) <= 40, first.endswith("…"), second) == (True, True, "12s ago  short")


@pytest.mark.parametrize(
    ("sentence", "shown"),
    [
        ("the disk of /data/of/a/project/of/somebody/.millrace has less than 2 GiB left",
         "the disk of /data/…/.millrace has less than 2 GiB left"),
        ("/srv/lakes/first/.millrace/logs/long.log keeps growing: free it",
         "/srv/…/long.log keeps growing: free it"),
        ("'/srv/lakes/first/.millrace/logs/long.log' is full", "'/srv/…/long.log' is full"),
        ("/srv/lake is short", "/srv/lake is short"),
        ("kafka://a/topic/with/a/name/of/length is no path",) * 2,
    ],
)  # fmt: skip
def test_in_short_a_long_path_leaves_room_for_what_is_said_of_it(sentence: str, shown: str) -> None:
    console = Console(file=io.StringIO(), width=71)
    console.print(HangingSentences([("now", Text(sentence))], in_short=True))
    assert console.file.getvalue().strip() == f"now  {shown}"  # type: ignore[attr-defined]
