"""Which tests come to a line: measured once per file of tests, and kept. A trial begins with them.

Measured is what runs in the test's own process; tests of other processes run after these, as files.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from coverage import CoverageData

from tests.fault.mutations.trial import Court


class Reach:
    """Answers from what is kept, and measures what is missing.

    Args:
        folder: Where measurements are kept; made where it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, dict[str, dict[str, list[int]]]] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def tests(self, file: str, line: int, among: str, *, court: Court) -> list[str]:
        """Tests that come to a line, the quickest first.

        Args:
            file: Of the product, below the repository.
            line: Of the file without any bug.
            among: A file of tests.
            court: Where they run when they were not measured yet.
        """
        found = [
            (seconds, test)
            for test, seconds, lines in self._measured(among, court)
            if line in lines.get(file, ())
        ]
        return [test for _, test in sorted(found)]

    def _measured(self, tests: str, court: Court) -> Iterator[tuple[str, float, dict[str, list[int]]]]:
        if tests not in self._known:
            text = (court.folder / tests).read_bytes()
            kept = self._folder / f"{hashlib.sha256(tests.encode() + text).hexdigest()[:20]}.json"
            if not kept.exists():
                kept.write_text(json.dumps(_measure(tests, court)), encoding="utf-8")
            self._known[tests] = json.loads(kept.read_text(encoding="utf-8"))
        for test, found in self._known[tests].items():
            yield test, found["seconds"], found["lines"]  # type: ignore[misc]


def _measure(tests: str, court: Court) -> dict[str, dict[str, object]]:
    data, report = court.folder / ".reach", court.folder / ".reach.xml"
    court.run(
        [tests], "--cov=ingestion", "--cov-context=test", "--cov-report=", "--maxfail=99",
        f"--junitxml={report}", environment={"COVERAGE_FILE": str(data)},
    )  # fmt: skip
    if not data.exists() or not report.exists():  # it did not end: then its tests run in their own order
        return {}
    seconds = {
        f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}": float(case.get("time", 0))
        for case in ElementTree.parse(report).iter("testcase")
    }
    lines = _lines(data, court.folder)
    data.unlink()
    report.unlink()
    return {test: {"seconds": seconds.get(test, 0.0), "lines": found} for test, found in lines.items()}


def _lines(data: Path, root: Path) -> dict[str, dict[str, list[int]]]:
    """Test → file → the lines that it came to."""
    found: dict[str, dict[str, list[int]]] = {}
    measured = CoverageData(str(data))
    measured.read()
    for path in measured.measured_files():
        name = str(Path(path).relative_to(root))
        for line, contexts in measured.contexts_by_lineno(path).items():
            for test in {context.partition("|")[0] for context in contexts} - {""}:
                found.setdefault(test, {}).setdefault(name, []).append(line)
    return found
