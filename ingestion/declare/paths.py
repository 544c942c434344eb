"""Where a value is in a payload: `meta.line`, `readings[0].value`, `["a.b"].c`, `.` for all of it.

In a stream with `unnest` a path starts in the element, and one that begins with ^ in what encloses it.
"""

import json
import re
from dataclasses import dataclass

WHOLE_PAYLOAD = "."
"""The path of a field that is the whole payload, where that is a bare number or text."""
ENCLOSING = "^"

_KEY = r"""[^.\[\]"'\\]+"""
_BRACKET = r"""\[(?:-?\d{1,9}|"(?:[^"\\]|\\.)*")\]"""
_STEPS = rf"(?:{_KEY}|{_BRACKET})(?:\.{_KEY}|{_BRACKET})*"
PATH_PATTERN = rf"^(\.|\^|(\^\.?)?{_STEPS})$"
_PATH = re.compile(PATH_PATTERN)
_STEP = re.compile(rf"\.?({_KEY})|({_BRACKET})")
_SPECIAL = re.compile(r'[*"\\]')
"""What DuckDB's JSON paths cannot have in a key; its JSON pointers can."""


@dataclass(frozen=True)
class Place:
    """A path, taken apart.

    Attributes:
        steps: Keys and indices, from the outside; an index below zero counts from the end.
        encloses: It starts in the payload that encloses the element.
    """

    steps: tuple[str | int, ...]
    encloses: bool = False


def parse_path(text: str) -> Place:
    """Take a path apart.

    Raises:
        ValueError: It is not a path; says how one is written.
    """
    if text == WHOLE_PAYLOAD:
        return Place(())
    if not _PATH.fullmatch(text):
        raise ValueError(
            f"'{text}' is not a path; write the keys with dots between them, as in meta.line, an index as in "
            'readings[0], any other key as in ["a.b"], or a dot for the whole payload'
        )
    rest = text.removeprefix(ENCLOSING)
    steps: list[str | int] = []
    for key, bracket in _STEP.findall(rest):
        if key == "*":
            raise ValueError(
                f"'{text}' holds a wildcard; write [\"*\"] for a key that is called *, and 'unnest' for "
                "every element of an array"
            )
        if key == "$" and not steps:
            rest = rest.removeprefix("$").removeprefix(".") or WHOLE_PAYLOAD
            raise ValueError(
                f"'{text}' begins with $; a path begins in the payload: write {rest}, or [\"$\"] for a key "
                "that is called $"
            )
        steps.append(key or _bracket(text, bracket[1:-1]))
    path = Place(tuple(steps), encloses=rest != text)
    json_path(path.steps)
    return path


def write_path(steps: tuple[str | int, ...]) -> str:
    """The path of some keys and indices, as streams.yml writes it."""
    text = ""
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _is_plain(step):
            text += f".{step}" if text else step
        else:
            text += f"[{json.dumps(step, ensure_ascii=False)}]"
    return text or WHOLE_PAYLOAD


def json_path(steps: tuple[str | int, ...]) -> str:
    """A path as DuckDB's JSON functions take it. SQL of dbt has the same as a macro.

    Raises:
        ValueError: DuckDB has no path of that kind.
    """
    if not any(isinstance(step, str) and (not step or _SPECIAL.search(step)) for step in steps):
        return "$" + "".join(
            f'."{step}"' if isinstance(step, str) else f"[{step}]" if step >= 0 else f"[#{step}]"
            for step in steps
        )
    if any(isinstance(step, int) and step < 0 for step in steps):
        raise ValueError(
            f"'{write_path(steps)}' counts from an array's end and has a key with one of * \" \\: "
            "a path has one of the two"
        )
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in steps)


def _is_plain(key: str) -> bool:
    return bool(re.fullmatch(_KEY, key)) and key not in ("*", "$") and not key.startswith(ENCLOSING)


def _bracket(path: str, inner: str) -> str | int:
    if not inner.startswith('"'):
        return int(inner)
    try:
        return str(json.loads(inner))
    except ValueError as error:
        raise ValueError(f"'{path}' has a key that is not JSON text: {error}") from None
