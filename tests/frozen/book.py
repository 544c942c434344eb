"""Situations and what was said in them, as text without anything of this machine; for test_errors.py."""

import re
from pathlib import Path

from tests.frozen import golden
from tests.frozen.commands import PROJECT
from tests.frozen.conftest import Place
from tests.frozen.snapshot import anonymous

_VARYING = {
    r"\btest_\d+\b": "<database>",
    r"\b\d{8}T\d{6}Z-\d+\b": "<backup>",
    r"(year=\d+/month=\d+/day=\d+/)?ducklake-[0-9a-f-]{36}": "<file>",
}
"""Of the golden folder and of the run."""


class Book:
    """Collects situations and what was said; every text of this machine is replaced by a name."""

    def __init__(self, place: Place, tmp_path: Path) -> None:
        self._lines: list[str] = []
        self._place = place
        server = re.search(r"host=([^&]+)", place.catalog)
        assert server is not None
        self._places = {
            str(place.data): "<data>",
            str(tmp_path): "<tmp>",
            str(PROJECT): "<project>",
            str(golden.STREAMS_FILE): "<streams.yml>",
            server[1]: "<server>",
        }

    def chapter(self, title: str) -> None:
        self._lines += ["", f"# {title}"]

    def add(self, situation: str, text: str) -> None:
        assert "Traceback" not in text
        lines = [situation, *(f"  {line}".rstrip() for line in text.splitlines())]
        text = anonymous("\n".join(lines), self._places)
        for pattern, name in _VARYING.items():
            text = re.sub(pattern, name, text)
        self._lines += ["", text]

    def run(self, situation: str, *arguments: str, **variables: object) -> None:
        """Run a command on the golden lake that fails, and write down how."""
        result = self._place.millrace(*arguments, **variables)
        said = result.out if result.code == 0 or not result.err else result.err  # else a warning in the log
        self.add(f"{situation}: {' '.join(arguments)}", f"{result.code} {said.strip()}")

    def text(self) -> str:
        return "\n".join(self._lines).lstrip()
