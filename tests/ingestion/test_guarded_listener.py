"""A listener that fails unexpectedly while events wait: none is lost and none is stored twice."""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ingestion.collect import guard
from ingestion.collect.collector import Collector
from ingestion.connectors.intake import NOBODY, Intake
from ingestion.connectors.listener import ListenerStatus
from ingestion.connectors.mqtt.connector import MqttConnector
from ingestion.declare.stream import Stream
from ingestion.settings import load_settings
from ingestion.spool.writer import SpoolEvent
from tests.ingestion.collecting import running, spooled, wait_until

STREAM = Stream.model_validate({"name": "plant", "source": {"mqtt": "plant/#"}})


class Falters:
    """Takes an event that exists nowhere else and one that is still owed, and fails; the next one goes on."""

    def __init__(self, intake: Intake, number: int, acknowledged: list[object]) -> None:
        self._intake, self._number, self._acknowledged = intake, number, acknowledged
        self._sent = False

    def pump(self, timeout_seconds: float, *, more: Callable[[str], bool]) -> None:
        if self._sent:
            return
        self._sent = True
        if self._number == 1:
            self._take(b"only", NOBODY)
        self._take(b"owed", self._number)
        if self._number == 1:
            raise ZeroDivisionError

    def acknowledge(self, receipts: Iterable[object]) -> None:
        self._acknowledged.extend(receipts)

    def status(self) -> ListenerStatus:
        return ListenerStatus("here", connected=True, ready=True)

    def close(self) -> None: ...

    def _take(self, value: bytes, receipt: object) -> None:
        self._intake.take(SpoolEvent(b"plant/1", value, "{}", 0), ("plant",), receipt=receipt, lane="plant")


def test_what_nobody_sends_again_is_kept_and_what_is_owed_comes_again_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "_REST_SECONDS", (0.01, 0.05))
    acknowledged: list[object] = []
    numbers = itertools.count(1)

    def opened(_self: MqttConnector, *_: Any, intake: Intake, **__: Any) -> Falters:
        return Falters(intake, next(numbers), acknowledged)

    monkeypatch.setattr(MqttConnector, "open_listener", opened)
    settings = load_settings(data_dir=tmp_path, mqtt_host="localhost")
    with running(Collector(settings, [STREAM], connector=replace(MqttConnector()))):
        wait_until(lambda: acknowledged)
    assert acknowledged == [2], "by the listener that took it last, and by nobody for the other"
    assert [row["value"] for row in spooled(tmp_path, "plant")] == [b"only", b"owed"]
