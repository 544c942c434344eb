"""What a stream queue is asked: where it begins and ends, what came when. AMQP 0.9.1 itself shows no bounds.

Whose answers they become is in log.py.
"""

import time
from contextlib import closing
from datetime import datetime
from typing import Any

from ingestion.connectors.rabbitmq.connection import count
from ingestion.connectors.rabbitmq.message import sent_at
from ingestion.connectors.rabbitmq.stream_channel import EVERYTHING, Read, StreamChannel
from ingestion.errors import SourceStalled
from ingestion.log.port import Bounds

_EMPTY_SECONDS = 1.0
"""A stream that gives nothing for so long, and counts no message, holds none."""
_REMEMBERED_SECONDS = 5.0  # the same where it has held some: it was made again then, or its broker is slow


class StreamQuestions:
    """Questions about one stream queue; each is bounded in time.

    Args:
        queue: Its name.
        timeout_seconds: The bound.
        stuck: Makes the error for a stream that gives nothing although it has something.
    """

    def __init__(self, queue: str, *, timeout_seconds: float, stuck: str) -> None:
        self._queue, self._timeout, self._stuck = queue, timeout_seconds, stuck
        self._held_some = False

    def edges(self, connection: Any) -> Bounds:
        """From the first message to the one after the last.

        Raises:
            SourceStalled: It counts messages and gives none.
        """
        counted = count(connection, self._queue)
        with closing(StreamChannel(connection, self._queue)) as channel:
            first = channel.read("first", credit=1)
            last = channel.read("last", credit=EVERYTHING)
            quiet = _REMEMBERED_SECONDS if self._held_some else _EMPTY_SECONDS
            seconds = self._timeout if counted else min(quiet, self._timeout)
            if not channel.wait(lambda: bool(first and last), seconds=seconds):
                if counted or first or last:
                    raise SourceStalled(self._stuck)
                return Bounds(0, 0)
            channel.fence()  # the rest of what there is has come then
            self._held_some = True
            return Bounds(first[0].offset, last[-1].offset + 1)

    def first_since(self, moment: datetime, bounds: Bounds, connection: Any) -> int:
        """The first message of the chunks since a time that was not sent before it; else the end."""
        with closing(StreamChannel(connection, self._queue)) as channel:
            since = channel.read(moment, credit=EVERYTHING)
            last = channel.read("last", credit=1)
            # One process of the broker begins both, in this order: when the second one has come and nothing
            # of the first, there is nothing since then.
            if not channel.wait(lambda: bool(last), seconds=self._timeout):
                raise SourceStalled(self._stuck)
            channel.fence()
            deadline = time.monotonic() + self._timeout
            while since:
                message = since.popleft()
                sent = sent_at(message.properties)
                if sent is None or sent >= moment:
                    return max(bounds.begin, message.offset)
                if message.offset >= bounds.end - 1:
                    break
                if not since:
                    channel.acknowledge(message.tag)
                    channel.wait(lambda: bool(since), seconds=deadline - time.monotonic())
                    if not since:
                        raise SourceStalled(self._stuck)
            return bounds.end

    def first_from(self, offset: int, connection: Any) -> Read | None:
        """The first message from an offset on; None where none came in time."""
        with closing(StreamChannel(connection, self._queue)) as channel:
            found = channel.read(offset, credit=1)
            return found[0] if channel.wait(lambda: bool(found), seconds=self._timeout) else None
