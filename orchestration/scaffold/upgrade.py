"""A project of an earlier release gets what this one writes, in the files that are Millrace's; edits stay.

`written/<release>/` holds these files as a release wrote them; a test asks for it once CHANGELOG.md has the
release. What `millrace new` writes: new.py.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher, unified_diff
from pathlib import Path
from typing import Literal

from orchestration.scaffold.new import ours

WRITTEN = Path(__file__).parent / "written"
_BY_LINE = ".gitignore"
"""A file that gets what a release added even where the user has added lines, too."""

Action = Literal["write", "replace", "extend", "leave"]


@dataclass(frozen=True)
class Change:
    """What a file of the project needs.

    Attributes:
        path: Below the project's folder.
        action: write where it is missing, replace where it is as an earlier release wrote it, extend by
            lines, or leave to the user, who has edited it.
        text: What it is to hold; what it holds where it is left.
        difference: What changed from the release that wrote it to this one, as a unified diff.
    """

    path: str
    action: Action
    text: str
    difference: str


def changes(project: Path) -> Iterator[Change]:
    """What the files of a project need; nothing when this release wrote them, edited since or not.

    Args:
        project: Its folder.
    """
    for path in ours():
        versions = texts(path)
        newest, file = versions[-1], project / path
        if not file.is_file():
            yield Change(path, "write", newest, "")
            continue
        there = file.read_text(encoding="utf-8")
        if there in versions:
            if there != newest:
                yield Change(path, "replace", newest, _difference(path, there, newest))
            continue
        base = _closest(there, versions)
        old, new, own = (text.splitlines() for text in (base, newest, there))
        missing = [line for line in new if line not in old and line not in own]
        outdated = [line for line in old if line not in new and line in own]
        if path == _BY_LINE and missing:
            text = "\n".join([*own, *missing, ""])
            yield Change(path, "extend", text, _difference(path, there, text))
        elif path != _BY_LINE and (missing or outdated):
            yield Change(path, "leave", there, _difference(path, base, newest))


def apply(project: Path, change: Change) -> None:
    """Write what a change asks for; a file that is left is not touched."""
    if change.action != "leave":
        file = project / change.path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(change.text, encoding="utf-8")


def texts(path: str) -> list[str]:
    """Every text of a file that releases wrote, oldest first; the last one is this release's."""
    places = [release / stored_name(path) for release in sorted(WRITTEN.glob("*"), key=_order)]
    places = [*(place for place in places if place.is_file()), ours()[path]]
    return list(dict.fromkeys(place.read_text(encoding="utf-8") for place in places))


def stored_name(path: str) -> str:
    """Where a file is below `written/<release>/`: git would obey one that is called .gitignore."""
    return path.removeprefix(".") if path == _BY_LINE else path


def _order(release: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in release.name.split("."))


def _closest(text: str, versions: Sequence[str]) -> str:
    """The version that an edited text comes from; the newest of those that are equally close."""
    lines = text.splitlines()
    return max(reversed(versions), key=lambda each: SequenceMatcher(None, each.splitlines(), lines).ratio())


def _difference(path: str, before: str, after: str) -> str:
    lines = before.splitlines(keepends=True), after.splitlines(keepends=True)
    return "".join(unified_diff(*lines, f"a/{path}", f"b/{path}"))
