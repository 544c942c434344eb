"""What the ledger of reactions holds: notices, what came of each, and how lines of its file say it.

The writer is ledger.py.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from orchestration.conditions.lines import Line, read_lines

LEDGER_FILE = Path("conditions") / "reactions.jsonl"
State = Literal["pending", "held", "batched", "delivered", "failed", "suppressed", "dismissed"]
STATES = (
    "pending", "held", "batched", "delivered", "acknowledged", "escalated", "failed", "suppressed",
    "dismissed", "given_up",
)  # fmt: skip
"""What can have become of an alert, as it is counted: each is in one of them."""
TOTALS = "totals"
_DONE = ("delivered", "suppressed", "dismissed")
OPENED, CLOSED = "condition_opened", "condition_closed"


@dataclass(frozen=True)
class Notice:
    """Something that a reaction is to hear of.

    Attributes:
        key: Stable and unique: whoever gets it twice may drop the second. Without a full stop.
        reaction: Whose.
        origin: What it is about: condition, or what else brings alerts.
        about: Which one; notices about the same go out in their order.
        content: What is sent, as JSON.
        noted_at: UTC.
    """

    key: str
    reaction: str
    origin: str
    about: str
    content: Mapping[str, Any]
    noted_at: datetime

    @property
    def is_opening(self) -> bool:
        """Whether it says that something broke."""
        return bool(self.content.get("event") == OPENED)

    @property
    def severity(self) -> str:
        """How bad it is: error, warning, or a rule's own word."""
        return str(self.content.get("severity", "error"))

    @property
    def same(self) -> tuple[object, object]:
        """What makes two of them about the same thing, which may break again and again."""
        return self.content.get("name"), self.content.get("subject")


@dataclass(frozen=True)
class Entry:
    """A notice, and what came of it.

    Attributes:
        notice: As it was noted.
        state: pending, held (its time has not come), batched (fixed in a message), delivered, failed (set
            aside; `retry` makes it pending again), suppressed (over before its time came) or dismissed.
        attempts: Tries so far; since the last retry.
        answer: Of the last try: what the receiver said, or why it did not take it; why it waits; a note.
        changed_at: When the last of this was noted, UTC.
        latency_seconds: From the note until the receiver had taken it; None until then.
        retried_at: When somebody asked for new tries, UTC.
        request: The last request of an operator that was taken in.
        batch: The key of the message that it is fixed in; empty for none.
        alone: Whether it is never sent with others any more.
        over: Of an opening: whether what it is about is over.
        acknowledged_at: Of an opening: when somebody took care of it, UTC.
        escalated_at: Of an opening: when another reaction was given it, UTC.
    """

    notice: Notice
    state: State = "pending"
    attempts: int = 0
    answer: str = ""
    changed_at: datetime | None = None
    latency_seconds: float | None = None
    retried_at: datetime | None = None
    request: str = ""
    batch: str = ""
    alone: bool = False
    over: bool = False
    acknowledged_at: datetime | None = None
    escalated_at: datetime | None = None

    @property
    def is_done(self) -> bool:
        """Whether nothing is to be sent any more."""
        return self.state in _DONE

    @property
    def became(self) -> str:
        """Its state, or what people did with what was delivered: one of STATES."""
        if self.state == "delivered" and self.acknowledged_at is not None:
            return "acknowledged"
        if self.state == "delivered" and self.escalated_at is not None:
            return "escalated"
        return self.state

    @property
    def begun_at(self) -> datetime:
        """Since when it is tried."""
        return self.retried_at or self.notice.noted_at

    @property
    def heard_at(self) -> datetime | None:
        """Since when somebody could acknowledge it, or was first tried in vain; None for not yet."""
        if not self.notice.is_opening or self.over or self.acknowledged_at is not None:
            return None
        if self.state == "delivered":
            return self.changed_at
        return self.begun_at if self.attempts and self.state in ("pending", "batched", "failed") else None

    @property
    def is_awaited(self) -> bool:
        """Whether somebody may still acknowledge it."""
        return self.notice.is_opening and not self.over and self.acknowledged_at is None


@dataclass
class Held:
    """What a ledger holds.

    Attributes:
        entries: By key, in the order in which they were noted.
        totals: Reaction → how many became what, of those that the file holds no more.
        openings: Reaction and what it is about → the key of its opening.
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    totals: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    openings: dict[tuple[str, str], str] = field(default_factory=dict)

    def counts(self) -> dict[str, Counter[str]]:
        """Reaction → one of STATES → how many, ever."""
        counts = defaultdict(Counter, {name: Counter(total) for name, total in self.totals.items()})
        for entry in self.entries.values():
            counts[entry.notice.reaction][entry.became] += 1
        return dict(counts)

    def opening(self, reaction: str, about: str) -> Entry | None:
        """A reaction's opening of something."""
        return self.entries.get(self.openings.get((reaction, about), ""))

    def drop(self, entry: Entry, *, as_: str) -> None:
        """Forget an entry and count it."""
        notice = entry.notice
        self.totals[notice.reaction][as_] += 1
        del self.entries[notice.key]
        if self.openings.get((notice.reaction, notice.about)) == notice.key:
            del self.openings[notice.reaction, notice.about]


def read_ledger(data_dir: Path) -> Held:
    """What the ledger of a data folder holds; nothing where there is none."""
    held = Held()
    for line in read_lines(data_dir / LEDGER_FILE):
        apply(held, line)
    return held


def pending_line(notice: Notice) -> Line:
    """That a notice is to be sent."""
    return {
        "op": "pending", "key": notice.key, "reaction": notice.reaction, "origin": notice.origin,
        "about": notice.about, "content": dict(notice.content), "at": notice.noted_at.isoformat(),
    }  # fmt: skip


def entry_lines(entry: Entry) -> Iterator[Line]:
    """The lines of a new file that say all of an entry."""
    key = entry.notice.key
    yield pending_line(entry.notice)
    if entry.retried_at is not None:
        yield {"op": "retry", "key": key, "at": entry.retried_at.isoformat(), "request": entry.request}
    at = (entry.changed_at or entry.notice.noted_at).isoformat()
    if entry.alone:
        yield {"op": "alone", "key": key, "at": at}
    if entry.batch:
        yield {"op": "batched", "key": key, "at": at, "batch": entry.batch}
    if entry.changed_at is not None and (entry.attempts or entry.state not in ("pending", "batched")):
        op = "tried" if entry.state in ("pending", "batched") else entry.state
        yield {
            "op": op, "key": key, "at": at, "attempts": entry.attempts, "answer": entry.answer,
            "latency": entry.latency_seconds, "request": entry.request,
        }  # fmt: skip
    if entry.over:
        yield {"op": "over", "key": key, "at": at}
    for op, then in (("acknowledged", entry.acknowledged_at), ("escalated", entry.escalated_at)):
        if then is not None:
            yield {"op": op, "key": key, "at": then.isoformat()}


def apply(held: Held, line: Line) -> None:
    """Enter a line; one of another release that says what is unknown here is passed over."""
    try:
        op = line["op"]
        if op == TOTALS:
            held.totals[str(line["reaction"])] = Counter(line["counts"])
            return
        at = datetime.fromisoformat(line["at"])
        if op == "pending":
            _note(held, line, at)
            return
        for key in map(str, line["keys"] if "keys" in line else [line["key"]]):
            if key in held.entries:
                _change(held, key, op, line, at)
    except (KeyError, TypeError, ValueError):
        return


def _note(held: Held, line: Line, at: datetime) -> None:
    notice = Notice(
        str(line["key"]), str(line["reaction"]), str(line["origin"]), str(line["about"]),
        dict(line["content"]), at,
    )  # fmt: skip
    held.entries[notice.key] = Entry(notice)
    place = (notice.reaction, notice.about)
    if notice.is_opening:
        held.openings[place] = notice.key
    elif (opening := held.opening(*place)) is not None:
        held.entries[opening.notice.key] = replace(opening, over=True)


def _change(held: Held, key: str, op: str, line: Line, at: datetime) -> None:
    entry = held.entries[key]
    change: dict[str, Any] = {"changed_at": at}
    if op in ("tried", "delivered", "failed", "dismissed", "suppressed", "held"):
        latency = line.get("latency")
        if op == "delivered" and latency is None:
            latency = round(max(0.0, (at - entry.notice.noted_at).total_seconds()), 3)
        state = ("batched" if entry.batch else "pending") if op == "tried" else op
        change |= {
            "state": state, "attempts": int(line.get("attempts", entry.attempts)),
            "answer": str(line.get("answer", "")), "latency_seconds": latency,
            "request": str(line.get("request", entry.request)),
        }  # fmt: skip
        if op in ("failed", "dismissed"):
            change["batch"] = ""
        if op == "dismissed" and entry.batch:  # the same key may not stand for another message
            _dissolve(held, entry.batch)
    elif op == "batched":
        change |= {"state": "batched", "batch": str(line["batch"])}
    elif op == "alone":
        change |= {"state": "pending", "batch": "", "alone": True}
    elif op == "retry":
        change |= {"state": "pending", "attempts": 0, "retried_at": at, "request": str(line["request"])}
    elif op == "over":
        change = {"over": True}
    elif op == "acknowledged":
        change = {"acknowledged_at": at, "request": str(line.get("request", entry.request))}
    elif op == "escalated":
        change = {"escalated_at": at}
    else:
        return
    held.entries[key] = replace(held.entries[key], **change)


def _dissolve(held: Held, batch: str) -> None:
    for key, entry in held.entries.items():
        if entry.batch == batch and not entry.is_done:
            held.entries[key] = replace(entry, batch="", state="pending")
