"""Each kind of condition is made in a whole system, in tests/e2e/conditions."""

import re

from orchestration.conditions.kinds import KINDS
from tests.repository import REPOSITORY

MADE_ELSEWHERE: frozenset[str] = frozenset(
    {
        "spool_blocked",
        "stream_stalled",
        "stream_waiting",
        "schema_changed",
        "serving_behind",
        "stream_silent",
        "budget_broken",
    }
)
"""Kinds that a test of their own part makes, as test_stuck.py or ../reactions."""


def test_every_kind_has_its_trouble() -> None:
    texts = [file.read_text() for file in (REPOSITORY / "tests" / "e2e" / "conditions").glob("test_*.py")]
    made = {name for text in texts for name in re.findall(r'"([a-z_]+)"', text)}
    assert KINDS.keys() <= made | MADE_ELSEWHERE, (
        "a new kind is made there, seen on every surface, and mended"
    )
