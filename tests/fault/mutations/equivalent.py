"""Bugs that change nothing which anybody could notice: each with the reason."""

from tests.fault.mutations.mutant import Mutant

EQUIVALENT: dict[tuple[str, str], str] = {
    (
        "ingestion/lake/flushing.py",
        "for each in sorted(folders, reverse=True): → for each in sorted(folders, reverse=False):",
    ): "All folders are flushed before the commit, and without it none is needed: their order is free.",
}
"""(file, name of the bug: of a tool's, the line and what it became) → why nobody can notice it."""


def why_equivalent(mutant: Mutant) -> str:
    """The reason; empty where a test has to notice."""
    return EQUIVALENT.get((mutant.file, mutant.name), "")
