"""Bugs that change nothing which anybody could notice: each with the reason."""

from tests.fault.mutations.mutant import Mutant

EQUIVALENT: dict[tuple[str, str], str] = {
    ("ingestion/spool/writer.py", "after a flush that failed the segment is written on"): (
        "What a failed commit wrote is cut, and the next frame is written at the same place: each page that "
        "the failed flush has dropped is written again, so the next flush brings it to the disk. The new "
        "segment spares a place of the disk that is bad; it is no part of the promise."
    ),
}
"""(file, name of the bug: of a tool's, the line and what it became) → why nobody can notice it."""


def why_equivalent(mutant: Mutant) -> str:
    """The reason; empty where a test has to notice."""
    return EQUIVALENT.get((mutant.file, mutant.name), "")
