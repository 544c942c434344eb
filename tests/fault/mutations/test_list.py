"""The list of planted bugs is kept up to date: each place is there, Python stays Python, each test exists."""

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fault.mutations.equivalent import EQUIVALENT
from tests.fault.mutations.found import ROOMS
from tests.fault.mutations.kept import Kept, Verdict
from tests.fault.mutations.mutant import Mutant
from tests.fault.mutations.planted import PLANTED
from tests.repository import REPOSITORY


@pytest.mark.parametrize("mutant", PLANTED, ids=lambda mutant: mutant.name)
def test_a_planted_bug_has_its_place_and_its_tests(mutant: Mutant) -> None:
    planted = mutant.planted_in(REPOSITORY)
    if mutant.file.endswith(".py"):
        ast.parse(planted)
    assert mutant.tests
    for node in mutant.tests:
        path, _, test = node.partition("::")
        assert (REPOSITORY / path).exists(), node
        if test:
            name = test.partition("[")[0].rpartition("::")[2]
            assert f"def {name}(" in (REPOSITORY / path).read_text(encoding="utf-8"), node


def test_names_are_names() -> None:
    names = [mutant.name for mutant in PLANTED]
    assert len(names) == len(set(names))


def test_a_bug_whose_place_has_changed_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file.py").write_text("a = 1\nb = 1\n")
    twice = Mutant("twice", "file.py", "= 1", "= 2", "", ("x",))
    with pytest.raises(ValueError, match="2 times"):
        twice.planted_in(tmp_path)


def test_a_trial_is_kept_until_the_file_the_bug_or_a_test_changes(tmp_path: Path) -> None:
    (tmp_path / "file.py").write_text("a = 1\n")
    (tmp_path / "tests.py").write_text("def test_a(): ...\n")
    bug = Mutant("bug", "file.py", "= 1", "= 2", "", ("tests.py::test_a",))
    kept, killed = Kept(tmp_path / "kept"), Verdict("killed", 1.0, "tests.py::test_a", "1 failed")
    keys = [bug.key(tmp_path), replace(bug, new="= 3").key(tmp_path)]
    kept.keep(keys[0], killed)
    kept.keep(keys[1], replace(killed, outcome="unfinished"))
    assert [kept.verdict(key) for key in keys] == [killed, None], "what is not decided is tried again"
    (tmp_path / "tests.py").write_text("def test_a(): assert True\n")
    keys.append(bug.key(tmp_path))
    (tmp_path / "file.py").write_text("b = 1\n")
    keys.append(bug.key(tmp_path))
    assert len(set(keys)) == 4


def test_what_is_explained_is_in_a_file_that_is_there() -> None:
    assert all((REPOSITORY / file).exists() and why for (file, _), why in EQUIVALENT.items())


def test_the_rooms_of_the_tool_and_their_tests_are_there() -> None:
    for room, tests in ROOMS.items():
        assert any((REPOSITORY / room).glob("*.py")), room
        assert all((REPOSITORY / test).exists() for test in tests), room
