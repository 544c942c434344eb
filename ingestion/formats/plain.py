"""Plain text: the payload is a JSON string, or an array of the message's lines."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import pyarrow as pa

from ingestion.formats.each import as_json, read_each
from ingestion.formats.likeness import GUESS, Likeness, Sample, is_text, likeness
from ingestion.formats.port import FormatOptions, Refusal, Surroundings, Texts
from ingestion.formats.text import NOT_UTF8, Encoding, as_utf8

_RATHER_BROKEN = (b"{", b"<?xml")
"""With these begins what is JSON or XML, unless it is damaged."""


class PlainOptions(FormatOptions):
    """What a stream of text may declare.

    Attributes:
        lines: A message is several lines, and each an element of an array; empty ones are left out.
        encoding: Of the text, where no byte order mark says it; UTF-8 by default.
    """

    lines: bool = False
    encoding: Encoding | None = None


@dataclass(frozen=True)
class PlainFormat:
    """Text as it is."""

    name: str = "text"
    options: type[FormatOptions] = PlainOptions
    reasons: frozenset[str] = frozenset({NOT_UTF8})
    keeps_bytes: bool = True
    is_text: bool = True
    libraries: tuple[str, ...] = ()
    extra: str = ""

    def texts(self, events: pa.Table, options: FormatOptions, around: Surroundings) -> Texts:
        """Take each value as text."""
        return read_each(events, around, partial(_read, options=cast(PlainOptions, options)))

    def recognise(self, samples: Sequence[Sample]) -> Likeness | None:
        """Whether they are text that somebody could read."""
        read = [as_utf8(each.value, each.headers) for each in samples]
        texts = [text for text in read if isinstance(text, bytes) and is_text(text)]
        found = sum(not text.lstrip().startswith(_RATHER_BROKEN) for text in texts)
        return likeness(GUESS, found, samples, "text without another format's structure")


def _read(value: bytes, headers: str | None, *, options: PlainOptions) -> bytes | Refusal:
    text = as_utf8(value, headers, options.encoding)
    if isinstance(text, Refusal):
        return text
    whole = text.decode()
    if not options.lines:
        return as_json(whole)
    return as_json([line.removesuffix("\r") for line in whole.split("\n") if line.strip()])


PLAIN = PlainFormat()
