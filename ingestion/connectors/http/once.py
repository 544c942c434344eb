"""A request that is sent again with its idempotency key is stored once, and answered as it was.

Also while the first one is still under way, and where a door's streams have it in part. What is known of keys
is in keys.py.
"""

import time
from collections.abc import Iterable, Mapping
from http import HTTPStatus

from ingestion.connectors.http.delivery import Delivery, Outcome, answer
from ingestion.connectors.http.doors import Door
from ingestion.connectors.http.keys import Keys, Noted, recover
from ingestion.connectors.http.problems import Problem
from ingestion.connectors.intake import Intake
from ingestion.errors import StorageError
from ingestion.faultpoints import faultpoint
from ingestion.spool.guarded import Held

_FORGET_SECONDS = 60.0


class Once:
    """Decides what of a request is stored yet.

    Args:
        keys: What is known.
        intake: Gives what spools hold after a crash.
        hours: Stream → how long its keys are kept.
    """

    def __init__(self, keys: Keys, intake: Intake, hours: Mapping[str, float]) -> None:
        self._keys, self._intake, self._hours = keys, intake, hours
        self._under_way: dict[tuple[str, str], Delivery] = {}
        self._again: dict[Delivery, list[Delivery]] = {}
        self._to_recover = set(hours)
        self._forget_at = 0.0

    def missing(self, delivery: Delivery, door: Door) -> tuple[str, ...]:
        """The streams that lack a request's events; none where it is answered, now or with the first one.

        Raises:
            StorageError: What is known of keys cannot be read.
        """
        if not delivery.key:
            return door.streams
        first = self._under_way.get((door.name, delivery.key))
        if first is not None:
            if first.digest == delivery.digest:
                self._again[first].append(delivery)
            else:
                answer([(delivery, _another_body())])
            return ()
        self.recover()
        for stream in door.streams:
            known = self._keys.find(stream, delivery.key)
            if known is not None and known.digest != delivery.digest:
                answer([(delivery, _another_body())])
                return ()
            if known is not None:
                delivery.stored[stream] = known.stored
        delivery.known = frozenset(delivery.stored)
        missing = tuple(stream for stream in door.streams if stream not in delivery.stored)
        if missing:
            self._under_way[door.name, delivery.key] = delivery
            self._again[delivery] = []
        else:
            delivery.is_repeated = True
            answer([(delivery, list(delivery.stored.values()))])
        return missing

    def finish(self, ended: Mapping[Delivery, Outcome]) -> None:
        """Note keys, and answer: requests that ended, and those that are the same again.

        Args:
            ended: Request → what became of it; one that is refused may be stored in part.
        """
        faultpoint("http.stored")
        outcomes = dict(ended)
        noted = [
            Noted(delivery.key, delivery.digest, stored)
            for delivery in ended
            if delivery.key
            for stream, stored in delivery.stored.items()
            if stream not in delivery.known
        ]
        try:
            self._keys.note(noted, now=time.time())
        except StorageError as error:
            failed = Held(str(error), is_full=False)
            outcomes |= {delivery: failed for delivery in ended if delivery.key}
            self._to_recover = set(self._hours)  # the spools know these keys
        faultpoint("http.noted")
        answer(outcomes.items())
        for delivery in ended:
            if delivery.key:
                self._under_way.pop((delivery.door, delivery.key), None)
                again = self._again.pop(delivery, [])
                for each in again:
                    each.is_repeated = True
                answer((each, outcomes[delivery]) for each in again)

    def recover(self) -> None:
        """Note what was durable before a crash and is not noted; a spool that is held now comes later.

        Raises:
            StorageError: It cannot be read or written.
        """
        for stream in list(self._to_recover):
            if self._intake.held(stream) is None:
                self._keys.note(
                    recover(stream, self._intake.kept(stream, after="older segments")), now=time.time()
                )
                self._to_recover.discard(stream)

    def forget_old(self, now: float) -> None:
        """Forget keys that were kept long enough; about once a minute.

        Args:
            now: Seconds since 1970.

        Raises:
            StorageError: It cannot be written.
        """
        if abs(now - self._forget_at) >= _FORGET_SECONDS:
            self._forget_at = now
            for stream, hours in self._hours.items():
                self._keys.forget(stream, before=now - hours * 3600)

    def left(self) -> Iterable[Delivery]:
        """Requests that wait for another one that is the same."""
        return [each for again in self._again.values() for each in again]


def _another_body() -> Problem:
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "another request with this Idempotency-Key had another body; give each request a key of its own",
    )
