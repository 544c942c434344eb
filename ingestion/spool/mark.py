"""What an end of a spool is known by: its last frame, where that stands, and which position the lake gave it.

A frame's checksum is over the microseconds at which its events came, too, and frames are only appended: a
copy that was put back and written on has another frame there.
"""

import re
from dataclasses import dataclass
from typing import Self

from ingestion.spool.frames import Frame

_TEXT = re.compile(r"(\d+)@(\d+):(\d+)\+(\d+):(\d+):([0-9a-f]{8})=(\d+)")


@dataclass(frozen=True)
class FrameMark:
    """A frame and its segment.

    Attributes:
        segment: First position of the segment.
        frame: The frame, in positions of the spool's own.
        end: The lake's position after it (shift.py).
    """

    segment: int
    frame: Frame
    end: int

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """What `str` gave; None for anything else."""
        if not (found := _TEXT.fullmatch(text)):
            return None
        segment, offset, first, count, size = map(int, found.groups()[:5])
        return cls(segment, Frame(first, count, offset, size, int(found[6], 16)), int(found[7]))

    def __str__(self) -> str:
        each = self.frame
        place = f"{self.segment}@{each.offset}"
        return f"{place}:{each.first}+{each.count}:{each.body_bytes}:{each.body_crc:08x}={self.end}"
