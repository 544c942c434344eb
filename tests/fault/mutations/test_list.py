"""The list of planted bugs is kept up to date: each place is there, each bug is Python, each test exists."""

import ast
from pathlib import Path

import pytest

from tests.fault.mutations.found import ROOMS
from tests.fault.mutations.mutant import Mutant
from tests.fault.mutations.planted import PLANTED
from tests.repository import REPOSITORY


@pytest.mark.parametrize("mutant", PLANTED, ids=lambda mutant: mutant.name)
def test_a_planted_bug_has_its_place_and_its_tests(mutant: Mutant) -> None:
    ast.parse(mutant.planted_in(REPOSITORY))
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


def test_the_rooms_of_the_tool_and_their_tests_are_there() -> None:
    for room, tests in ROOMS.items():
        assert any((REPOSITORY / room).glob("*.py")), room
        assert all((REPOSITORY / test).exists() for test in tests), room
