"""What a format says of samples that it is shown: whether they are its own, how sure that is, and why.

Each format answers for itself; recognise.py asks all of them. What the figures mean: docs/formats.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

CERTAIN = 1.0
"""A mark that only this format has, or a grammar that nothing else fits."""
STRUCTURE = 0.9
"""They are whole values of it, with names or nesting that chance does not make."""
LIKELY = 0.6
"""They are whole values of it, and hardly anything else."""
GUESS = 0.3
"""They may be; other bytes may look the same."""
ANYTHING = 0.1
"""Every bytes are."""


class Sample(NamedTuple):
    """A message that is shown to formats, unpacked.

    Attributes:
        value: Its bytes; not empty.
        headers: A JSON object, or None.
        key: As it came; the topic, of brokers whose messages have no key.
    """

    value: bytes
    headers: str | None = None
    key: bytes | None = None


@dataclass(frozen=True)
class Likeness:
    """A format's answer.

    Attributes:
        confidence: 0 to 1: how sure one of the levels is, times the share of samples that it holds for.
        reason: What was seen, as in "Avro's container magic in 4 of 4 messages".
        options: What the stream would have to declare about the format.
        needs: What has to be declared that no sample shows, as half a sentence; empty where there is nothing.
        note: What might be wanted besides.
        heads: Values that name what the others hold, and are not events.
    """

    confidence: float
    reason: str
    options: Mapping[str, Any] = field(default_factory=dict)
    needs: str = ""
    note: str = ""
    heads: frozenset[bytes] = frozenset()


def likeness(
    level: float, found: int, samples: Sequence[Sample], what: str, *, more: str = "",
    options: Mapping[str, Any] | None = None, needs: str = "", note: str = "",
) -> Likeness | None:  # fmt: skip
    """An answer for so many of some samples; None for none of them.

    Args:
        level: How sure it is for those.
        found: How many.
        samples: All.
        what: What was seen in them, as in "whole CBOR maps".
        more: What else can be said of it, as half a sentence.
        options: As Likeness has them.
        needs: The same.
        note: The same.
    """
    if not found:
        return None
    places = f"{found} of {len(samples)} messages" if len(samples) > 1 else "the message"
    reason = f"{what} in {places}{more and f'; {more}'}"
    return Likeness(level * found / len(samples), reason, options or {}, needs, note)


def is_text(value: bytes) -> bool:
    """Whether somebody wrote it to be read: UTF-8, and nothing that steers a terminal but lines and tabs."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return False
    return all((each >= " " and each != "\x7f") or each in "\t\r\n" for each in text)
