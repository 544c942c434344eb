"""Texts that a refactoring must not change, compared with tests/frozen/snapshots/.

`MILLRACE_FREEZE=1 .venv/bin/python -m pytest tests/frozen` writes them again: only when a change is meant,
and then the diff of the commit shows it.
"""

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "snapshots"


def check(name: str, text: str) -> None:
    """Compare a text with the stored one, or store it; a difference is shown as a unified diff."""
    check_file(FOLDER / name, text)


def check_file(path: Path, text: str) -> None:
    """The same for a text that is stored elsewhere."""
    text = text.rstrip("\n") + "\n"
    if os.environ.get("MILLRACE_FREEZE") == "1":
        path.write_text(text, encoding="utf-8")
        return
    stored = path.read_text(encoding="utf-8") if path.exists() else ""
    if text != stored:
        lines = difflib.unified_diff(
            stored.splitlines(),
            text.splitlines(),
            f"{path.parent.name}/{path.name}",
            "today",
            lineterm="",
            n=2,
        )
        pytest.fail(
            "\n".join(["what was frozen has changed; MILLRACE_FREEZE=1 stores it again", *lines]),
            pytrace=False,
        )


def anonymous(text: str, places: Mapping[str, str]) -> str:
    """Replace what differs from run to run: the longest of `places` (text → name) first, then numbers."""
    for found in sorted(places, key=len, reverse=True):
        text = text.replace(found, places[found])
    return re.sub(r"\bpid \d+", "pid <pid>", text)
