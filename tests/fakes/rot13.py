"""A format that refuses, needs headers, keeps the bytes, and can be unavailable: JSON text in ROT13."""

import codecs
import json
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from ingestion.errors import FormatUnavailable
from ingestion.formats.likeness import CERTAIN, Likeness, Sample, likeness
from ingestion.formats.port import FormatOptions, Refusal, Surroundings, Texts


class Key:
    """Whether the key to it is at hand, and whether it is the right one."""

    there = True
    wrong = False


@dataclass(frozen=True)
class Rot13Format:
    """The header `rot` names the number of letters; 13 is the only one known."""

    name: str = "rot13"
    options: type[FormatOptions] = FormatOptions
    reasons: frozenset[str] = frozenset({"no_rot", "not_rot13"})
    keeps_bytes: bool = True
    libraries: tuple[str, ...] = ()
    extra: str = ""

    def texts(self, events: pa.Table, options: FormatOptions, around: Surroundings) -> Texts:
        if not Key.there:
            raise FormatUnavailable("the key to rot13 is not at hand; bring it")
        payload: list[str | None] = []
        refused: dict[int, Refusal] = {}
        for row, event in enumerate(events.select(["value", "headers"]).to_pylist()):
            text = None
            if event["value"] is not None:
                try:
                    if json.loads(event["headers"] or "{}").get("rot") != "13":
                        refused[row] = Refusal("no_rot", f"the headers are {event['headers']}")
                    else:
                        text = codecs.decode(event["value"].decode(), "rot13")
                        json.loads(text, parse_constant=_refuse)
                        text = '"?"' if Key.wrong else text
                except (ValueError, RecursionError) as error:
                    text, refused[row] = None, Refusal("not_rot13", str(error))
            payload.append(text)
        return Texts(pa.array(payload, pa.string()), refused)

    def recognise(self, samples: Sequence[Sample]) -> Likeness | None:
        """By the header alone."""
        found = sum(json.loads(each.headers or "{}").get("rot") == "13" for each in samples)
        return likeness(CERTAIN, found, samples, "have the header rot: 13")


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


ROT13 = Rot13Format()
