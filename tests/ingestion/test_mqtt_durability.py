"""What `doctor` says of an MQTT broker's promise: what is granted, and what its restarts have shown."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ingestion.collect.status import state_folder
from ingestion.connectors.durability import Reading
from ingestion.connectors.mqtt.access import MqttAccess
from ingestion.connectors.mqtt.connector import MQTT
from ingestion.connectors.mqtt.durability import Granted, ask, judge
from ingestion.connectors.mqtt.history import Past, SessionHistory, read_history
from ingestion.connectors.mqtt.listener import MqttListener
from ingestion.connectors.mqtt.protocol import SESSION_NEVER_EXPIRES
from ingestion.connectors.mqtt.retry import Retry
from ingestion.declare.stream import Stream
from tests.servers.mosquitto import Mosquitto
from tests.waiting import eventually

STREAM = Stream.model_validate({"name": "plant", "source": {"mqtt": "plant/#"}})
READING = Reading("plant", STREAM.source)
AT = MqttAccess(host="broker", port=1883, protocol="5")
STARTED = 1_000_000.0
QUICK = Retry(first_seconds=0.05, most_seconds=0.2, stable_seconds=1)


def said(granted: Granted, *past: Past) -> list[str]:
    sessions = {f"millrace-{number}": each for number, each in enumerate(past)}
    return [f"{each.state}: {each.message}" for each in judge([READING], granted, sessions, AT)]


def test_what_is_granted_has_its_sentence() -> None:
    never = Granted(SESSION_NEVER_EXPIRES, 2)
    assert said(never)[0] == "ok: broker:1883 grants sessions that never expire"
    assert "keeps a session for 2 h only" in said(Granted(7_200, 2))[0]
    assert "MQTT 3.1.1 does not say it" in said(Granted())[0]
    assert said(Granted(SESSION_NEVER_EXPIRES, 0))[0].startswith(
        "problem: the MQTT broker at broker:1883 takes"
    )
    silent = Reading("plant", STREAM.source.model_copy(update={"qos": 0}))
    (note, *_) = judge([silent], never, {}, AT)
    assert note.message.startswith("plant: QoS 0 is not acknowledged")


@pytest.mark.parametrize(
    ("past", "sentence"),
    [
        ([], "note: whether"),
        ([Past(STARTED - 500)], "note: whether"),
        # It came back, and nobody restarted the broker in between.
        ([Past(STARTED + 10, STARTED + 50)], "note: whether"),
        # Its uptime may be so much too small.
        ([Past(STARTED - 30, STARTED + 50)], "note: whether"),
        ([Past(STARTED - 500, STARTED + 50)], "ok: broker:1883 was started on"),
        ([Past(STARTED - 500, STARTED - 50)], "note: whether"),
        (
            [Past(STARTED + 70, 0.0, 2, STARTED + 70)],
            "problem: the MQTT broker at broker:1883 has forgotten ",
        ),
        # Forgotten once, and kept since somebody set it right.
        ([Past(STARTED - 500, STARTED + 50, 1, STARTED - 500)], "ok: broker:1883 was started on"),
    ],
)
def test_only_a_session_that_outlived_a_restart_proves_that_sessions_do(
    past: list[Past], sentence: str
) -> None:
    assert said(Granted(SESSION_NEVER_EXPIRES, 2, STARTED), *past)[-1].startswith(sentence)


def test_the_past_of_a_session_is_kept_per_broker(tmp_path: Path) -> None:
    history = SessionHistory(tmp_path, "a:1")
    history.connected("me", present=True, now=10.0)  # it was there before this file
    history.connected("me", present=True, now=20.0)
    assert read_history(tmp_path, "a:1") == {"me": Past(10.0, 20.0)}
    history = SessionHistory(tmp_path, "a:1")
    history.connected("me", present=False, now=30.0)
    history.connected("me", present=True, now=40.0)
    assert read_history(tmp_path, "a:1") == {"me": Past(30.0, 40.0, 1, 30.0)}
    assert read_history(tmp_path, "b:1") == {}


class _Nothing:
    """An intake that gets nothing."""

    def take(self, *_: object, **__: object) -> None: ...
    def waiting_of(self, lane: str) -> int:
        return 0

    def revise(self, revised: Callable[[object], object]) -> None: ...


@pytest.mark.mosquitto
@pytest.mark.parametrize(("persistence", "expected"), [(True, "ok"), (False, "problem")])
def test_a_real_broker_that_is_restarted(tmp_path: Path, persistence: bool, expected: str) -> None:
    server = Mosquitto(tmp_path / "broker", persistence=persistence, extra=["sys_interval 1"])
    server.start()
    access = MqttAccess(host=server.host, port=server.port, protocol="5")
    state = state_folder(tmp_path, MQTT)
    listener = MqttListener(
        {"plant": STREAM.source}, access, state=state, intake=_Nothing(), timeout_seconds=15, retry=QUICK
    )  # fmt: skip

    def connected(times: int) -> Callable[[], bool]:
        def once() -> bool:
            listener.pump(0.05, more=lambda _lane: True)
            connection = listener.connections["plant"]
            return connection.generation >= times and connection.subscribed

        return once

    def states() -> list[str]:
        found = MQTT.durability([READING], access, state=state, now=datetime.now(UTC), timeout_seconds=15)
        return [each.state for each in found]

    try:
        eventually(connected(1), "the listener is subscribed")
        assert states() == ["ok", "note"], "never restarted: nobody knows"
        # As if it had been made an hour ago: an uptime is only known within a minute.
        name = listener.connections["plant"].client_id
        listener._history._sessions[name] = Past(listener._history._sessions[name].made_at - 3_600)
        server.restart()
        eventually(connected(2), "the listener has come back")
        assert ask(access, timeout_seconds=15).qos == 2
        eventually(lambda: states() == ["ok", expected], "the restart has shown it")
    finally:
        listener.close()
        server.stop()
