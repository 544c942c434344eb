"""Whether a sample shows that each sender numbers its events. What that is good for: docs/sequences.md."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

from orchestration.scaffold.propose import Proposed
from orchestration.scaffold.roles import may_be_a_thing

_LEAST_SHARE = 0.8
"""Of all steps that lead one on: messages of the sample may have come late, or not at all."""
_LEAST_NUMBERS = 3
"""Of a sender, or it does not count: two numbers that follow each other are chance."""
_LEAST_SENDERS = 2
_OF_TIME = re.compile(r"(^|_)(uptime|seconds?|secs?|minutes?|mins?|hours?|days?|week|month|year|age)($|_)")
_HIGHEST = (2**8 - 1, 2**16 - 1, 2**32 - 1)
"""Where counters of the usual widths begin again at 0."""

_WHOLE = re.compile(r"[+-]?\d{1,18}")

_Key = tuple[str, ...]


@dataclass(frozen=True)
class Counter:
    """A numbering that the sample shows.

    Attributes:
        per: The fields that say whose number it is.
        field: The field with the number.
        reason: What was seen.
        wraps_at: The number after which 0 came; None where none did.
    """

    per: tuple[str, ...]
    field: str
    reason: str
    wraps_at: int | None = None

    def said(self) -> dict[str, Any]:
        """As streams.yml says it."""
        per = self.per[0] if len(self.per) == 1 else list(self.per)
        return {"per": per, "field": self.field} | ({"wraps_at": self.wraps_at} if self.wraps_at else {})


@dataclass(frozen=True)
class _Steps:
    """How numbers follow each other, sender by sender."""

    on: int
    other: int
    senders: int
    wraps_at: int | None

    @property
    def share(self) -> float:
        return self.on / (self.on + self.other) if self.senders >= _LEAST_SENDERS else 0.0


def find_counter(fields: Sequence[Proposed]) -> Counter | None:
    """The numbering that is the plainest in a sample: for several senders, a whole number that rises by one.

    Args:
        fields: With the values of the sample, in the order in which the events came.
    """
    best: tuple[float, Counter] | None = None
    fields = [field for field in fields if field.texts]  # the user's own were not seen
    for field in fields:
        if field.type != "bigint" or _OF_TIME.search(field.name):
            continue
        for senders in _senders(fields, field):
            numbers = _numbers(senders, field)
            steps = _steps(numbers)
            if steps.share >= _LEAST_SHARE and not _is_one_for_all(numbers, field):
                reason = f"{field.name} rises by one in {steps.on} of {steps.on + steps.other} steps"
                reason += f" of {steps.senders} senders"
                per = tuple(each.name for each in senders)
                if best is None or steps.share > best[0]:
                    best = steps.share, Counter(per, field.name, reason, steps.wraps_at)
    return best[1] if best else None


def _senders(fields: Sequence[Proposed], counted: Proposed) -> Iterator[tuple[Proposed, ...]]:
    """What may name a sender, the plainest first."""
    things = [each for each in fields if each is not counted and may_be_a_thing(each)]
    yield from ((each,) for each in things)
    yield from combinations(things, 2)


def _whole(field: Proposed) -> list[int | None]:
    """A field's numbers; None for what is none, since the user may have said bigint of anything."""
    return [int(text) if text and _WHOLE.fullmatch(text) else None for text in field.texts]


def _numbers(senders: tuple[Proposed, ...], field: Proposed) -> Mapping[_Key, list[int]]:
    """Sender → its numbers, as they came; a number that comes again is of an event that was sent again."""
    found: defaultdict[_Key, list[int]] = defaultdict(list)
    for *names, number in zip(*(each.texts for each in senders), _whole(field), strict=True):
        if number is not None and None not in names:
            numbers = found[tuple(map(str, names))]
            if numbers[-1:] != [number]:
                numbers.append(number)
    return {key: numbers for key, numbers in found.items() if len(numbers) >= _LEAST_NUMBERS}


def _steps(numbers: Mapping[_Key, list[int]]) -> _Steps:
    pairs = [pair for each in numbers.values() for pair in pairwise(each)]
    wraps = [before for before, after in pairs if after == 0 and before in _HIGHEST]
    on = sum(after == before + 1 for before, after in pairs) + len(wraps)
    return _Steps(on, len(pairs) - on, len(numbers), max(wraps, default=None))


def _is_one_for_all(numbers: Mapping[_Key, list[int]], field: Proposed) -> bool:
    """Whether one counter goes through the whole sample, whose senders only come in blocks."""
    every = [number for each in numbers.values() for number in each]
    if len(set(every)) < len(every):
        return False  # two senders have the same number
    together = [number for number in _whole(field) if number is not None]
    on = sum(after == before + 1 for before, after in pairwise(together))
    return on >= _LEAST_SHARE * (len(together) - 1)
