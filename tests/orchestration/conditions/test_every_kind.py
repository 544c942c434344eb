"""Each kind of condition is made for real, and its opening and its end reach a receiver once."""

import re

from orchestration.conditions.kinds import KINDS
from tests.repository import REPOSITORY

IN_SYSTEMS = ("tests/e2e/conditions", "test_*.py")
"""Made in a whole system, seen on every surface, and mended."""
BY_THE_CLOCK = ("tests/orchestration/reactions", "test_by_the_clock.py")
"""Those that need minutes or a week: in a real lake with real reactions."""


def test_every_kind_has_its_trouble() -> None:
    files = [
        file for folder, names in (IN_SYSTEMS, BY_THE_CLOCK) for file in (REPOSITORY / folder).glob(names)
    ]
    made = {name for file in files for name in re.findall(r'"([a-z_]+)"', file.read_text())}
    assert KINDS.keys() <= made, "a new kind is made in one of these files, heard of, and mended"
