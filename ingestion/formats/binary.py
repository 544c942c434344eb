"""Bytes that are nothing to read: the payload says how many there are and their digest, raw keeps them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from ingestion.formats.each import as_json, read_each
from ingestion.formats.likeness import ANYTHING, Likeness, Sample, is_text, likeness
from ingestion.formats.port import FormatOptions, Refusal, Surroundings, Texts


@dataclass(frozen=True)
class BinaryFormat:
    """`{"bytes": 3, "sha256": "…"}`; nothing is refused."""

    name: str = "binary"
    options: type[FormatOptions] = FormatOptions
    reasons: frozenset[str] = frozenset()
    keeps_bytes: bool = True
    libraries: tuple[str, ...] = ()
    extra: str = ""

    def texts(self, events: pa.Table, options: FormatOptions, around: Surroundings) -> Texts:
        """Describe each value; the description of a short one is longer than it, and never too long."""
        return read_each(events, Surroundings(max_bytes=max(around.max_bytes, 256)), _read)

    def recognise(self, samples: Sequence[Sample]) -> Likeness | None:
        """Any bytes are; text that no format reads is rather broken."""
        found = sum(not is_text(each.value) for each in samples)
        return likeness(ANYTHING / 2, found, samples, "bytes that no other format knows")


def _read(value: bytes, headers: str | None) -> bytes | Refusal:
    return as_json({"bytes": len(value), "sha256": hashlib.sha256(value).hexdigest()})


BINARY = BinaryFormat()
