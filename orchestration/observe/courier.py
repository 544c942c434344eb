"""Brings a reaction what the ledger holds for it, one after the other, on a thread of its own.

Notices about the same condition go out in their order. A receiver that is away gets a pause, one that
refuses a single notice does not: others go on.
"""

import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from ingestion.errors import MillraceError, StorageError
from ingestion.faultpoints import faultpoint
from ingestion.settings import Settings
from orchestration.conditions.condition import Finding
from orchestration.conditions.webhook import POST_SECONDS, Answer
from orchestration.observe.worker import Worker
from orchestration.reactions.declared import Reaction
from orchestration.reactions.ledger import Entry, Ledger
from orchestration.reactions.ways import Way, open_way

_PATIENCE_SECONDS = POST_SECONDS + 1.0
_LOOK_SECONDS = 1.0
_FIRST_PAUSE_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 300.0
_LONGEST_WISH_SECONDS = 3600.0
"""Of a receiver's Retry-After; a longer one would hold up alerts for as long as it likes."""
_MOST_REFUSALS = 20
"""Of one notice by a receiver that works: about an hour and a half."""
_LONGEST = timedelta(days=3)
_log = logging.getLogger(__name__)


class Courier:
    """One reaction's.

    Args:
        reaction: Whose.
        ledger: Holds what it is owed.
        settings: Hold its secrets.

    Attributes:
        reaction: Whose.
        worker: Its thread.
        why: Why it does not get through; empty while it does.
    """

    def __init__(self, reaction: Reaction, ledger: Ledger, settings: Settings) -> None:
        self.reaction = reaction
        self._ledger, self._settings = ledger, settings
        self._way: Way | None = None
        self._failures = 0
        self._rest_s = 0.0
        self._not_before: dict[str, float] = {}
        self.why = ""
        # What was not sent when it stops is sent by the next system on this folder.
        self.worker = Worker(
            f"courier {reaction.name}", self._turn, pause_s=self._pause, patience_s=_PATIENCE_SECONDS,
            at_end=self._leave,
        )  # fmt: skip

    def findings(self) -> list[Finding]:
        """That alerts do not get through, or were set aside."""
        name, why = self.reaction.name, self.why
        sentences = [f"alerts do not reach '{name}': {why}"] if why else []
        remedies = ["They are kept and tried again, every five minutes at the least."] if why else []
        counts = self._ledger.counts().get(name, Counter())
        if set_aside := counts["failed"]:
            sentences.append(f"{set_aside:,} alerts for '{name}' were set aside after many tries")
            remedies.append("'millrace reactions list' shows them, 'retry' and 'dismiss' end this.")
        if given_up := counts["given_up"]:
            remedies.append(f"There were too many: the {given_up:,} oldest were given up.")
        if not sentences:
            return []
        return [Finding("alert_undelivered", name, "; ".join(sentences), " ".join(remedies))]

    def _pause(self) -> float:
        return max(self._rest_s, _LOOK_SECONDS)

    def _turn(self) -> None:
        self._rest_s = 0.0
        try:
            while not self.worker.stopping and (entry := self._next()) is not None:
                if not self._bring(entry):
                    return
            if not self._ledger.owed(self.reaction.name):
                self._failures, self.why = 0, ""  # an operator has dismissed the rest
        except StorageError as error:
            _log.warning(str(error))

    def _next(self) -> Entry | None:
        """The oldest that may be sent now."""
        now_s, blocked = time.monotonic(), set[str]()
        for entry in self._ledger.owed(self.reaction.name):
            is_due = entry.state == "pending" and self._not_before.get(entry.notice.key, 0.0) <= now_s
            if is_due and entry.notice.about not in blocked:
                return entry
            blocked.add(entry.notice.about)
        return None

    def _bring(self, entry: Entry) -> bool:
        """Try once; returns whether others may be tried now."""
        answer, now = self._try(entry), datetime.now(UTC)
        if not answer.why:
            faultpoint("reactions.sent")
            self._failures, self.why = 0, ""
            self._not_before.pop(entry.notice.key, None)
            self._ledger.delivered(entry, answer=answer.said, now=now)
            return True
        self.why = answer.why
        tries = entry.attempts + 1
        is_enough = (answer.is_about_this and tries >= _MOST_REFUSALS) or now - entry.begun_at > _LONGEST
        if answer.is_about_this:
            self._not_before[entry.notice.key] = time.monotonic() + _pause_after(tries)
        else:
            self._failures += 1
            wish = min(answer.retry_after_s, _LONGEST_WISH_SECONDS)
            self._rest_s = max(_pause_after(self._failures), wish)
        self._ledger.refused(entry, why=answer.why, now=now, gives_up=is_enough and self.reaction.gives_up)
        return answer.is_about_this

    def _try(self, entry: Entry) -> Answer:
        try:
            if self._way is None:
                self._way = open_way(self.reaction, self._settings)
            answer = self._way.send(entry.notice)
        except MillraceError as error:
            answer = Answer(str(error))
        except Exception as error:  # of a library: its text may hold a secret
            answer = Answer(f"it failed ({type(error).__name__})")
        if answer.why:
            self._leave()  # a secret may be another one at the next try
        return answer

    def _leave(self) -> None:
        way, self._way = self._way, None
        if way is not None:
            with _quietly():
                way.close()


def stop(couriers: Sequence[Courier]) -> None:
    """End them."""
    for courier in couriers:
        courier.worker.stop()


def _pause_after(failures: int) -> float:
    return min(_FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 20), _LONGEST_PAUSE_SECONDS)


@contextmanager
def _quietly() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        _log.warning("A reaction could not be left: %s", type(error).__name__)
