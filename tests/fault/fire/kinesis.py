"""A data stream of moto under fire: an emulator that keeps all in memory, so it is frozen, not killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from random import Random

from botocore.config import Config

from tests.fault.fire.source import Place, Sent, payload
from tests.servers.moto import Moto

REQUEST_RECORDS = 250
SHARDS = 2
_FROZEN_SECONDS = (0.5, 3.0)


class KinesisUnderFire:
    """One data stream (source.Source)."""

    collector, once, mark = "kinesis", True, ""

    def __init__(self, moto: Moto, name: str, dice: Random) -> None:
        self._moto, self._name, self._dice = moto, name, dice
        self.declared = {"kinesis": name}
        self.settings = {"kinesis_region": moto.client().meta.region_name, "kinesis_endpoint_url": moto.url}
        self.sent = Sent()
        # A request that waits for the frozen emulator is not sent again: then each record is there once.
        self._client = moto.client(config=Config(read_timeout=300, retries={"total_max_attempts": 1}))
        self._client.create_stream(StreamName=name, ShardCount=SHARDS)

    def send(self, numbers: Sequence[int]) -> None:
        for first in range(0, len(numbers), REQUEST_RECORDS):
            part = numbers[first : first + REQUEST_RECORDS]
            records = [{"Data": payload(number), "PartitionKey": f"k{number % 20}"} for number in part]
            answer = self._client.put_records(StreamName=self._name, Records=records)
            assert answer["FailedRecordCount"] == 0, answer
            self.sent.confirm(part)

    def strike(self) -> str:
        os.kill(self._moto.pid, signal.SIGSTOP)
        time.sleep(self._dice.uniform(*_FROZEN_SECONDS))
        os.kill(self._moto.pid, signal.SIGCONT)
        return "broker (an emulator, frozen)"

    def heal(self) -> None:
        """Nothing of the kind was seen."""

    def kept(self) -> dict[Place, int] | None:
        return None

    def close(self) -> None:
        """Nothing is open."""
