"""Which shape a sample's payloads have: arrays of readings, events in them. Each guess with what was seen.

What `streams.yml` calls them: docs/values.md. Formats: ingestion/formats/recognise.py. Fields: propose.py.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ingestion.declare.paths import write_path
from ingestion.formats.looks import form_of

_LEAST_SHARE = 0.9
_MOST_LEVELS = 3


@dataclass(frozen=True)
class Shape:
    """What a sample suggests beside its fields.

    Attributes:
        value: As streams.yml would say it; None where nothing has to be said.
        reason: What was seen; empty where nothing was.
    """

    value: Any = None
    reason: str = ""


@dataclass(frozen=True)
class Events:
    """The events of some payloads, each with what encloses it.

    Attributes:
        texts: JSON of each event.
        enclosing: JSON of the payload round it, without the array; empty where payloads are the events.
        messages: Which payload each is from.
    """

    texts: tuple[str, ...]
    enclosing: tuple[str, ...]
    messages: tuple[int, ...]


def forms(values: Sequence[bytes], format_name: str) -> list[str]:
    """Sentences about what stands round what a format reads, which needs no declaration."""
    found = Counter(form for value in values if (form := form_of(value, format_name)))
    return [
        f"{form} in {count} of {len(values)} messages: that is undone by itself"
        for form, count in found.items()
    ]


def find_unnest(payloads: Sequence[str]) -> Shape:
    """The array whose elements are the events; what is an event of its own has keys.

    Args:
        payloads: JSON texts.
    """
    documents = [each for each in map(json.loads, payloads) if isinstance(each, (dict, list))]
    enough = _LEAST_SHARE * len(documents)
    arrays = [document for document in documents if isinstance(document, list)]
    if arrays and len(arrays) >= enough:
        return Shape(".", f"the payload is an array in {len(arrays)} of {len(documents)}")
    found: Counter[tuple[str, ...]] = Counter()
    for document in documents:
        found.update(_arrays(document, ()))
    often = [path for path, count in found.items() if count >= enough]
    if len(often) != 1:
        words = " and ".join(f"'{write_path(path)}'" for path in often)
        return Shape(
            None, f"{words} are arrays of objects: --unnest makes the elements of one events" if often else ""
        )
    return Shape(
        write_path(often[0]),
        f"an array of objects in {found[often[0]]} of {len(documents)}: each is an event",
    )


def parted(payloads: Sequence[str], steps: tuple[str | int, ...] | None) -> Events:
    """The events of payloads, as `unnest` makes them."""
    if steps is None:
        return Events(tuple(payloads), (), tuple(range(len(payloads))))
    texts, enclosing, messages = [], [], []
    for number, text in enumerate(payloads):
        document = json.loads(text)
        holder, elements = _take_out(document, steps)
        for element in elements:
            texts.append(json.dumps(element, ensure_ascii=False))
            enclosing.append(json.dumps(holder, ensure_ascii=False))
            messages.append(number)
    return Events(tuple(texts), tuple(enclosing), tuple(messages))


def _arrays(value: Any, path: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The paths of arrays of objects."""
    if isinstance(value, list):
        return [path] if value and all(isinstance(each, dict) for each in value) else []
    if not isinstance(value, dict) or len(path) >= _MOST_LEVELS:
        return []
    return [found for key, inner in value.items() for found in _arrays(inner, (*path, key))]


def _take_out(document: Any, steps: tuple[str | int, ...]) -> tuple[Any, list[Any]]:
    """What encloses an array, and its elements; none where there is no array."""
    if not steps:
        return None, document if isinstance(document, list) else []
    place = document
    for step in steps[:-1]:
        place = place.get(step) if isinstance(place, dict) else None
    if not isinstance(place, dict) or not isinstance(place.get(str(steps[-1])), list):
        return document, []
    return document, place.pop(str(steps[-1]))
