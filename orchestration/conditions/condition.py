"""A condition: something that does not work, since when, and what to do about it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from orchestration.conditions.kinds import KINDS

_ORDER = {name: number for number, name in enumerate(KINDS)}


@dataclass(frozen=True)
class Finding:
    """That something does not work at this moment.

    Attributes:
        name: The kind of condition.
        subject: What it is about: a stream, a model, a service, a file.
        sentence: The thing, the place, the reason.
        remedy: What to do about it; empty where the sentence says it.
        severity: A rule's own word; otherwise its kind's, error or warning.
        identity: Of what stays the same when the lake is rebuilt or restored; nobody hears of it twice.
        times: What is known of when it came about, before it was found: a word and ISO 8601 each.
        traceparent: Of the cycle that found it, where it is traced: W3C trace context.
    """

    name: str
    subject: str
    sentence: str
    remedy: str = ""
    severity: str = ""
    identity: str = ""
    times: tuple[tuple[str, str], ...] = ()
    traceparent: str = ""

    def __post_init__(self) -> None:
        if self.name not in KINDS:
            raise ValueError(f"'{self.name}' stands in no list of conditions: add it to conditions/kinds.py")
        if not self.severity:
            object.__setattr__(self, "severity", KINDS[self.name].severity)

    @property
    def key(self) -> tuple[str, str]:
        """What makes two findings the same condition: its reason may change."""
        return self.name, self.subject


@dataclass(frozen=True)
class Condition:
    """A finding that lasted, or lasts.

    Attributes:
        number: Counts the conditions of a data folder, from 1.
        finding: As it was last found.
        opened: When it was first found, UTC.
        closed: When it was found no more, UTC; None while it is open.
        alerted_to: The reactions that were given its opening.
        settled: Whether no reaction is to be given anything of it any more.
        lasted: Whether it was seen to last as long as an alert takes.
    """

    number: int
    finding: Finding
    opened: datetime
    closed: datetime | None = None
    alerted_to: tuple[str, ...] = ()
    settled: bool = False
    lasted: bool = False

    @property
    def text(self) -> str:
        """The sentence and the remedy."""
        finding = self.finding
        sentence = finding.sentence.rstrip()
        if not finding.remedy:
            return sentence
        return f"{sentence if sentence.endswith(('.', '?', '!', ':')) else f'{sentence}.'} {finding.remedy}"

    def as_json(self) -> dict[str, object]:
        """For other programs: alerts and `status --json`."""
        finding = self.finding
        return {
            "name": finding.name,
            "subject": finding.subject,
            "sentence": finding.sentence,
            "remedy": finding.remedy,
            "severity": finding.severity,
            "opened": self.opened.isoformat(timespec="seconds"),
            "closed": self.closed.isoformat(timespec="seconds") if self.closed else None,
            "docs": KINDS[finding.name].docs,
            **({"traceparent": finding.traceparent} if finding.traceparent else {}),
        }


def by_importance(conditions: Iterable[Condition]) -> list[Condition]:
    """The most important kind first, within a kind the oldest."""
    return sorted(conditions, key=lambda each: (_ORDER[each.finding.name], each.opened, each.number))
