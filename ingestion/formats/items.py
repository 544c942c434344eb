"""How sure it is that values of a binary format without a mark (MessagePack, CBOR) are what they seem.

Their JSON says it: names that are words are hardly made by chance, lone numbers are.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from ingestion.formats.likeness import ANYTHING, GUESS, LIKELY, STRUCTURE, Likeness, Sample, is_text, likeness
from ingestion.formats.port import Refusal

_MOST = 0.9
_NUMBER = re.compile(r"-?\d+")


def likeness_of_items(
    name: str, texts: Sequence[bytes | Refusal], samples: Sequence[Sample], *, numbered_level: float = LIKELY
) -> Likeness | None:
    """What a format says of samples that it has read.

    Args:
        name: The format's, as people write it.
        texts: Its JSON of each, or why there is none.
        samples: As they came.
        numbered_level: How sure it is where names are numbers; few libraries of some formats write such.
    """
    read = zip(texts, samples, strict=True)
    found = [orjson.loads(text) for text, each in read if isinstance(text, bytes) and not is_text(each.value)]
    maps = [value for value in found if any(_names(value))]
    named = sum(all(_is_word(each) for each in _names(value)) for value in maps)
    numbered = sum(all(_NUMBER.fullmatch(each) for each in _names(value)) for value in maps)
    most = len(found) * _MOST
    if named >= most:
        return likeness(STRUCTURE, named, samples, f"whole {name} maps, whose names are words,")
    if named + numbered >= most:
        what = f"whole {name} maps, some with numbers as names,"
        return likeness(numbered_level, named + numbered, samples, what)
    arrays = sum(isinstance(value, list | dict) and bool(value) for value in found)
    if arrays * 2 > len(found):
        return likeness(GUESS + ANYTHING, len(found), samples, f"whole {name} arrays or maps")
    return likeness(ANYTHING, len(found), samples, f"whole {name} values, mostly single ones,")


def _names(value: Any) -> Iterator[str]:
    """Every name in a value."""
    if isinstance(value, dict):
        yield from value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _names(inner)


def _is_word(name: str) -> bool:
    return bool(name) and name.isprintable() and not _NUMBER.fullmatch(name)
