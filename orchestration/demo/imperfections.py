"""What goes wrong on the way from a machine to the broker: duplicates, late readings, malformed messages.

Pure: time and randomness are arguments. Sending is plant.py's.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

DUPLICATE_SHARE = 0.01
LATE_SHARE = 0.01
MALFORMED_SHARE = 0.005
_DUPLICATE_SECONDS = (0.1, 4.0)
_LATE_SECONDS = (4.0, 150.0)


@dataclass(frozen=True)
class Counts:
    """How many messages of each sort have been handed out.

    Attributes:
        readings: Distinct readings.
        duplicates: Second deliveries of a reading.
        late: Of the readings, those that were delayed.
        malformed: Messages that hold no reading.
    """

    readings: int = 0
    duplicates: int = 0
    late: int = 0
    malformed: int = 0


class Network:
    """Takes readings in and gives messages out, sometimes twice, late or spoiled.

    Args:
        random: Its own generator.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._waiting: list[tuple[float, int, str, bytes]] = []
        self._sequence = 0
        self._tally = {"readings": 0, "duplicates": 0, "late": 0, "malformed": 0}

    @property
    def counts(self) -> Counts:
        """What was accepted so far."""
        return Counts(**self._tally)

    def take(self, topic: str, payload: bytes, *, elapsed_s: float) -> None:
        """Accept one reading's message.

        Args:
            topic: Where it goes.
            payload: Its bytes.
            elapsed_s: Seconds since the start.
        """
        random = self._random
        late = random.random() < LATE_SHARE
        delay_s = random.uniform(*_LATE_SECONDS) if late else 0.0
        self._wait(elapsed_s + delay_s, topic, payload)
        self._tally["readings"] += 1
        self._tally["late"] += late
        if random.random() < DUPLICATE_SHARE:
            self._wait(elapsed_s + delay_s + random.uniform(*_DUPLICATE_SECONDS), topic, payload)
            self._tally["duplicates"] += 1
        if random.random() < MALFORMED_SHARE:
            self._wait(elapsed_s, topic, self._spoiled(payload))
            self._tally["malformed"] += 1

    def due(self, elapsed_s: float) -> Iterator[tuple[str, bytes]]:
        """Topic and payload of what arrives at the broker up to now; infinity empties it."""
        while self._waiting and self._waiting[0][0] <= elapsed_s:
            _, _, topic, payload = heapq.heappop(self._waiting)
            yield topic, payload

    def _wait(self, at_s: float, topic: str, payload: bytes) -> None:
        self._sequence += 1
        heapq.heappush(self._waiting, (at_s, self._sequence, topic, payload))

    def _spoiled(self, payload: bytes) -> bytes:
        """Cut off, no text at all, or the greeting of a restarting device."""
        return self._random.choice((payload[: len(payload) // 2], b"\xff\xfe\x00" + payload[:12], b"BOOT OK"))
