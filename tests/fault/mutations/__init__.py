"""The judge is judged: bugs planted in the product one at a time, each of which some test has to notice."""

EQUIVALENT: dict[tuple[str, str], str] = {}
"""(file, changed line → what it became) of a tool's mutation → why nobody can notice it."""
