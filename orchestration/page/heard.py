"""What became of conditions by the ledger of reactions: read from its file, when that has changed."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orchestration.conditions.condition import Condition
from orchestration.reactions.alert import ORIGIN
from orchestration.reactions.entries import LEDGER_FILE, Entry, read_ledger

_About = tuple[object, object, object]


@dataclass(frozen=True)
class Heard:
    """Who has heard of what.

    Attributes:
        owed: The entries that are pending or were set aside, the oldest first.
        done: Those that were delivered or dismissed, the newest first.
        counts: Reaction → state, or given_up → how many, ever.
    """

    owed: tuple[Entry, ...] = ()
    done: tuple[Entry, ...] = ()
    counts: Mapping[str, Counter[str]] = field(default_factory=dict)
    _about: Mapping[_About, tuple[Entry, ...]] = field(default_factory=dict)

    def of(self, condition: Condition) -> tuple[Entry, ...]:
        """What reactions were to hear of a condition, its opening first."""
        known = condition.as_json()
        return self._about.get((known["name"], known["subject"], known["opened"]), ())


class HeardReader:
    """Reads it. For one thread.

    Args:
        data_dir: The data folder.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._seen: tuple[int, int, int] | None = None
        self._heard = Heard()

    def read(self) -> Heard:
        """As it is now; nothing without a ledger."""
        try:
            found = (self._data_dir / LEDGER_FILE).stat()
            seen = (found.st_ino, found.st_size, found.st_mtime_ns)
        except OSError:
            seen = None
        if seen != self._seen:
            self._seen, self._heard = seen, _heard(self._data_dir)
        return self._heard


def _heard(data_dir: Path) -> Heard:
    held = read_ledger(data_dir)
    about = defaultdict[_About, list[Entry]](list)
    for entry in held.entries.values():
        if entry.notice.origin == ORIGIN:
            content = entry.notice.content
            about[content.get("name"), content.get("subject"), content.get("opened")].append(entry)
    entries = list(held.entries.values())
    return Heard(
        tuple(each for each in entries if not each.is_done),
        tuple(each for each in reversed(entries) if each.is_done),
        held.counts(),
        {key: tuple(found) for key, found in about.items()},
    )
