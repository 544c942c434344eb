"""How a stream's senders count their events, so that what was lost before the broker shows.

What is made of it is SQL of the dbt package (macros/sequences.sql); what it means: docs/sequences.md.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ingestion.connectors.spec import OneOrMore

_FAR = 100
"""How far below its predecessor a number may be and still be late (MAX_MISORDER of RFC 3550)."""
_PARTS_OF_ROUND = 16
_LARGEST = 2**60
_COUNTED = ("bigint", "integer")


class SequenceSpec(BaseModel):
    """How the senders of a stream number their events, and how many numbers may be missing.

    Attributes:
        per: The field, or fields, that say whose counter it is.
        field: The field that holds the number, bigint or integer.
        start: The number after a restart; without it, what a sender sent first after a restart counts as its
            first.
        step: By how much a number is higher than the one before.
        wraps_at: The highest number, after which comes start, or 0; none for a counter that does not wrap.
        reorder: How many numbers below the one before it, in the order of event times, an event is still
            late; further below, its sender has begun again. 100, or a sixteenth of a counter that wraps.
        late_minutes: How long a missing number may still come before anybody is warned.
        accept_after_hours: After how long a missing number is no longer warned about; never by default.
        warn: More missing numbers than that warn.
        fail: More missing numbers than that fail the check; none by default.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    per: Annotated[OneOrMore, Field(min_length=1)]
    field: str
    start: Annotated[int, Field(ge=0, le=_LARGEST)] | None = None
    step: Annotated[int, Field(ge=1, le=_LARGEST)] = 1
    wraps_at: Annotated[int, Field(ge=1, le=_LARGEST)] | None = None
    reorder: Annotated[int, Field(ge=0, le=_LARGEST)] | None = None
    late_minutes: Annotated[int, Field(ge=0)] = 10
    accept_after_hours: Annotated[int, Field(ge=1)] | None = None
    warn: Annotated[int, Field(ge=0)] = 0
    fail: Annotated[int, Field(ge=0)] | None = None

    @property
    def size(self) -> int | None:
        """How many numbers a counter has before it begins again; None when it does not."""
        return None if self.wraps_at is None else (self.wraps_at - (self.start or 0)) // self.step + 1

    @model_validator(mode="after")
    def _numbers_agree(self) -> "SequenceSpec":
        low = self.start or 0
        if self.wraps_at is not None and (self.wraps_at <= low or (self.wraps_at - low) % self.step):
            raise ValueError(
                f"sequence: a counter from {low} in steps of {self.step} never is {self.wraps_at}, its "
                "'wraps_at'; write the highest number that is sent"
            )
        if self.reorder is not None and self.size is not None and self.reorder >= self.size // 2:
            raise ValueError(
                f"sequence: 'reorder' {self.reorder} is too much for a counter of {self.size} numbers; "
                "write less than half of them"
            )
        return self

    def meta(self) -> dict[str, Any]:
        """What the macros need to know of it."""
        far = _FAR if self.size is None else min(_FAR, self.size // _PARTS_OF_ROUND)
        return {
            "per": list(self.per),
            "field": self.field,
            "base": self.start or 0,
            "step": self.step,
            "size": self.size or 0,
            "reorder": far if self.reorder is None else self.reorder,
            "has_start": self.start is not None,
        }


def check_sequence(sequence: SequenceSpec, types: Mapping[str, str]) -> str | None:
    """The name of a sequence's field that a stream does not have; None when all are there.

    Args:
        sequence: As declared.
        types: Column → type, of those that staging has.

    Raises:
        ValueError: A field cannot be what it is to be.
    """
    for name in (*sequence.per, sequence.field):
        if name not in types:
            return name
    if types[sequence.field] not in _COUNTED:
        raise ValueError(
            f"sequence counts by '{sequence.field}', which is {types[sequence.field]}; declare it as bigint"
        )
    if sequence.field in sequence.per:
        raise ValueError(
            f"sequence has '{sequence.field}' as 'field' and in 'per'; 'per' says whose counter it is, as "
            "device_id does"
        )
    return None
