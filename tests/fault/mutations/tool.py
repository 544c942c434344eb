"""The program that lists a tool's mutations of some files, a JSON object a line. It runs where cosmic-ray is.

Nothing of the project is imported: the tool has an environment of its own (found.py starts it).
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cosmic_ray.ast import get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

OPERATORS = (
    "ReplaceComparisonOperator_Lt_LtE",
    "ReplaceComparisonOperator_LtE_Lt",
    "ReplaceComparisonOperator_Gt_GtE",
    "ReplaceComparisonOperator_GtE_Gt",
    "ReplaceComparisonOperator_Eq_NotEq",
    "ReplaceComparisonOperator_NotEq_Eq",
    "ReplaceComparisonOperator_Is_IsNot",
    "ReplaceComparisonOperator_IsNot_Is",
    "ReplaceBinaryOperator_Add_Sub",
    "ReplaceBinaryOperator_Sub_Add",
    "AddNot",
    "ReplaceAndWithOr",
    "ReplaceOrWithAnd",
    "ReplaceTrueWithFalse",
    "ReplaceFalseWithTrue",
    "ReplaceBreakWithContinue",
    "ZeroIterationForLoop",
)
"""Not among them: operators that make type errors, which mypy sees before any test, and the replacing of
numbers: those of the rooms are limits and waits, whose neighbours are as good."""


def mutations(file: str) -> Iterator[dict[str, Any]]:
    """Every change that the operators make of a file."""
    source = Path(file).read_text(encoding="utf-8")
    for name in OPERATORS:
        operator = get_operator(f"core/{name}")()
        places = [place for node in _nodes(get_ast(source)) for place in operator.mutation_positions(node)]
        for occurrence, (start, _) in enumerate(places):
            code = mutate_code(source, operator, occurrence)
            change = _change(source, code or source)
            if change and not change.startswith("@dataclass"):  # frozen and slots: no behaviour
                yield {"file": file, "operator": name, "line": start[0], "code": code, "change": change}


def _nodes(node: Any) -> Iterator[Any]:
    yield node
    for child in getattr(node, "children", ()):
        yield from _nodes(child)


def _change(before: str, after: str) -> str:
    pairs = zip(before.splitlines(), after.splitlines(), strict=False)
    return next((f"{old.strip()} → {new.strip()}" for old, new in pairs if old != new), "")


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        for mutation in mutations(argument):
            print(json.dumps(mutation))
