"""docs/evidence.md has a row for each promise of docs/delivery.md, and each row names tests that exist."""

import ast
import re
from collections.abc import Iterator

from tests.repository import REPOSITORY

_UNPROMISED = {"What is not promised"}
_TEST = re.compile(r"`([\w/]+\.py)::(test_\w+)`")


def rows(text: str, header: str) -> Iterator[list[str]]:
    """The cells of each row of the table that begins with a header."""
    lines = text.split(header, 1)[1].splitlines()[2:]
    for line in lines:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip().strip("|").split("|")]


def promises(delivery: str) -> set[str]:
    """What delivery.md promises: each row of its table, and each of its parts."""
    table = {f"{step}: {fault}".rstrip(": ") for step, fault, *_ in rows(delivery, "| step | what may")}
    return table | set(re.findall(r"^## (.+)$", delivery, re.MULTILINE)) - _UNPROMISED


def evidence(text: str) -> dict[str, list[str]]:
    """Promise → tests, last run, count."""
    return {promise: cells for promise, *cells in rows(text, "| promise | tests |")}


def test_every_promise_has_its_evidence() -> None:
    promised = promises((REPOSITORY / "docs/delivery.md").read_text(encoding="utf-8"))
    shown = evidence((REPOSITORY / "docs/evidence.md").read_text(encoding="utf-8"))
    assert len(promised) > 15, "the table of delivery.md was not found"
    assert promised - shown.keys() == set(), "promised, and without a row in docs/evidence.md"
    assert shown.keys() - promised == set(), "a row in docs/evidence.md, and not promised"


def test_every_row_names_tests_that_are_there_a_run_and_a_count() -> None:
    shown = evidence((REPOSITORY / "docs/evidence.md").read_text(encoding="utf-8"))
    for promise, (tests, run, count) in shown.items():
        named = _TEST.findall(tests)
        assert named, f"no test is named for '{promise}'"
        for file, name in named:
            tree = ast.parse((REPOSITORY / "tests" / file).read_text(encoding="utf-8"))
            there = {each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)}
            assert name in there, f"'{promise}': tests/{file} has no {name}"
        assert re.search(r"`[0-9a-f]{7}`, 20\d\d-\d\d-\d\d", run), f"'{promise}': which commit, when?"
        assert re.search(r"\d", count), f"'{promise}': how often?"
