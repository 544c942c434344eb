"""Brings a reaction what the ledger holds for it, one message after the other, on a thread of its own.

Notices about the same condition go out in their order. A receiver that is away gets a pause, one that
refuses a single message does not: others go on. What is a message, and what waits, parcels.py decides.
"""

import logging
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from ingestion.errors import MillraceError, StorageError
from ingestion.faultpoints import faultpoint
from ingestion.settings import Settings
from ingestion.telemetry.spans import Spans
from orchestration.conditions.condition import Finding
from orchestration.conditions.webhook import Answer, bounded
from orchestration.observe.traced import trace_try
from orchestration.observe.worker import Worker
from orchestration.reactions.declared import Reaction
from orchestration.reactions.entries import Entry
from orchestration.reactions.ledger import Ledger
from orchestration.reactions.parcels import message, message_key, plan
from orchestration.reactions.ways import Launch, Way, open_way

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
        launch: Runs jobs; None where no web UI runs.
        spans: Takes what is traced; None where traces are off.

    Attributes:
        reaction: Whose.
        worker: Its thread.
        why: Why it does not get through; empty while it does.
    """

    def __init__(
        self,
        reaction: Reaction,
        ledger: Ledger,
        settings: Settings,
        *,
        launch: Launch | None = None,
        spans: Spans | None = None,
    ) -> None:
        self.reaction, self._launch, self._spans = reaction, launch, spans
        self._ledger, self._settings = ledger, settings
        self._way: Way | None = None
        self._failures = 0
        self._rest_s = 0.0
        self._not_before: dict[str, float] = {}
        self.why = ""
        # What was not sent when it stops is sent by the next system on this folder.
        self.worker = Worker(
            f"courier {reaction.name}", self._turn, pause_s=self._pause,
            patience_s=reaction.try_seconds + 1.0, at_end=self._leave,
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

    def wake(self) -> None:
        """Look now, unless the receiver is to be left alone."""
        if not self._rest_s:
            self.worker.wake()

    def _pause(self) -> float:
        return max(self._rest_s, _LOOK_SECONDS)

    def _turn(self) -> None:
        self._rest_s = 0.0
        try:
            while not self.worker.stopping and (entries := self._next()):
                if not self._bring(entries):
                    return
            if not self._ledger.owed(self.reaction.name):
                self._failures, self.why = 0, ""  # an operator has dismissed the rest
        except StorageError as error:
            _log.warning(str(error))

    def _next(self) -> Sequence[Entry]:
        """The message that may be sent now; what has to wait, and what is dropped, is noted."""
        name, now, now_s = self.reaction.name, datetime.now(UTC), time.monotonic()
        limit = self.reaction.limit
        since = now - timedelta(seconds=limit.within_seconds) if limit is not None else now
        made = plan(
            self.reaction, self._ledger.owed(name), had=self._ledger.openings(name, since=since), now=now,
            may=lambda key: self._not_before.get(key, 0.0) <= now_s,
        )  # fmt: skip
        for why, entries in made.hold.items():
            self._ledger.hold(entries, why=f"it waits for {why}", now=now)
        if made.suppress:
            self._ledger.suppress(made.suppress, why="it was over before the limit let it through", now=now)
        if made.send and not made.fixed:
            self._ledger.fix(made.send, batch=message_key(made.send), now=now)
            return [each for each in self._ledger.owed(name) if each.batch == message_key(made.send)]
        return made.send

    def _bring(self, entries: Sequence[Entry]) -> bool:
        """Try once; returns whether others may be tried now."""
        began = time.time()
        answer, now, key = self._try(entries), datetime.now(UTC), message_key(entries)
        if self._spans is not None:
            trace_try(self._spans, self.reaction.name, entries, began=began, failed=bool(answer.why))
        if not answer.why:
            faultpoint("reactions.sent")
            self._failures, self.why = 0, ""
            self._not_before.pop(key, None)
            self._ledger.delivered(entries, answer=answer.said, now=now)
            return True
        self.why = answer.why
        tries = max(each.attempts for each in entries) + 1
        oldest = min(each.begun_at for each in entries)
        is_enough = (answer.is_about_this and tries >= _MOST_REFUSALS) or now - oldest > _LONGEST
        if answer.is_about_this and len(entries) > 1:  # one of them is to blame
            self._ledger.part(entries, now=now)
            return True
        if answer.is_about_this:
            self._not_before[key] = time.monotonic() + _pause_after(tries)
        else:
            self._failures += 1
            wish = min(answer.retry_after_s, _LONGEST_WISH_SECONDS)
            self._rest_s = max(_pause_after(self._failures), wish)
        self._ledger.refused(entries, why=answer.why, now=now, gives_up=is_enough and self.reaction.gives_up)
        return answer.is_about_this

    def _try(self, entries: Sequence[Entry]) -> Answer:
        ways = [] if self._way is None else [self._way]
        answer = bounded(lambda: self._send(entries, ways), seconds=self.reaction.try_seconds)
        self._way = ways[0] if ways else None
        if answer.why:
            self._leave()  # a secret may be another one at the next try
        return answer

    def _send(self, entries: Sequence[Entry], ways: list[Way]) -> Answer:
        try:
            if not ways:
                ways.append(open_way(self.reaction, self._settings, launch=self._launch))
            return ways[0].send(message(entries))
        except MillraceError as error:
            return Answer(str(error))
        except Exception as error:  # of a library: its text may hold a secret
            return Answer(f"it failed ({type(error).__name__})")

    def _leave(self) -> None:
        way, self._way = self._way, None
        if way is not None:
            bounded(lambda: _closed(way), seconds=self.reaction.try_seconds)


def stop(couriers: Sequence[Courier]) -> None:
    """End them."""
    for courier in couriers:
        courier.worker.stop()


def _pause_after(failures: int) -> float:
    return min(_FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 20), _LONGEST_PAUSE_SECONDS)


def _closed(way: Way) -> Answer:
    try:
        way.close()
    except Exception as error:
        _log.warning("A reaction could not be left: %s", type(error).__name__)
    return Answer()
