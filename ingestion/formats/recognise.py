"""Which format samples are of: all formats are asked, and the surest answer counts.

What each looks for is in its own file; values that name a registry's schema are its to say (kinds.py).
Who shows it: `millrace add` and `millrace peek`.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ingestion.formats.likeness import CERTAIN, Likeness, Sample, likeness
from ingestion.formats.prefix import BY_REGISTRY
from ingestion.formats.registry import FormatChoice, choose_format, find_format, formats
from ingestion.formats.schema_registry.kinds import SchemaKinds
from ingestion.formats.unpack import unpack
from ingestion.libraries import installed

MOST_SAMPLES = 200
_MOST_BYTES = 1 << 22
"""Of all samples together: recognising more of them would take seconds."""
_NEAR = 0.8
"""An answer with this share of the best one's confidence is worth a word."""


@dataclass(frozen=True)
class Recognised:
    """What samples look like.

    Attributes:
        name: The format's.
        likeness: What it says of them.
        others: Formats of which they are nearly as likely.
        not_asked: Formats whose library is not installed, each with the extra that installs it.
    """

    name: str
    likeness: Likeness
    others: tuple[str, ...] = ()
    not_asked: tuple[str, ...] = ()

    def choice(self) -> FormatChoice | None:
        """The format with the options that fit; None where something has to be declared first."""
        if self.likeness.needs:
            return None
        return choose_format({self.name: dict(self.likeness.options)})

    @property
    def sentence(self) -> str:
        """What was seen, and what else it may be."""
        said = self.likeness.reason
        if self.others:
            said += f"; {' and '.join(self.others)} would fit as well"
        if self.likeness.needs:
            said += f"; {self.likeness.needs}"
        return said


def recognise(
    samples: Iterable[Sample], *, max_bytes: int = 1 << 20, kinds: SchemaKinds | None = None
) -> Recognised | None:
    """Ask every format about some samples.

    Args:
        samples: As they came; the first 200 that hold anything are looked at.
        max_bytes: What a value may hold once it is unpacked.
        kinds: What the system's schema registry says; None where there is no system.

    Returns:
        The likeliest format; None where no sample holds anything.
    """
    shown: list[Sample] = []
    left = _MOST_BYTES
    for sample in samples:
        unpacked = unpack(sample.value, sample.headers, max_bytes=max_bytes)
        value = unpacked if isinstance(unpacked, bytes) else sample.value
        if value.strip() and (not shown or len(value) <= left) and len(shown) < MOST_SAMPLES:
            shown.append(Sample(value, sample.headers, sample.key))
            left -= len(value)
    if not shown:
        return None
    found: dict[str, Likeness] = {}
    not_asked: list[str] = []
    registered = _by_registry(shown, kinds) if kinds else {}
    for name in formats():
        asked = find_format(name)
        if len(installed(asked.libraries)) < len(asked.libraries):
            not_asked.append(f"{name} (extra {asked.extra})")
        elif answer := registered.get(name) or asked.recognise(shown):
            found[name] = answer
    if not found:
        return None
    best = max(found, key=lambda name: found[name].confidence)
    enough = _NEAR * found[best].confidence
    others = tuple(name for name, each in found.items() if name != best and each.confidence >= enough)
    answer = found[best]
    if kinds and kinds.problem and answer.needs and answer.options == BY_REGISTRY:
        answer = replace(answer, needs=f"its schema is in a schema registry; {kinds.problem}")
    return Recognised(best, answer, others, tuple(not_asked))


def _by_registry(samples: Sequence[Sample], kinds: SchemaKinds) -> dict[str, Likeness]:
    """The format of the samples that name a schema which the registry knows."""
    found = Counter(name for each in samples if (name := kinds.format_of(each.value, each.headers)))
    answers = {
        name: likeness(
            CERTAIN, count, samples, f"the name of a schema that the registry has as {name.upper()}",
            options=BY_REGISTRY,
        )
        for name, count in found.items()
    }  # fmt: skip
    return {name: answer for name, answer in answers.items() if answer}
