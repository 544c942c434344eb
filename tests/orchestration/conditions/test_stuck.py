"""Processes that live and do no work, halted ones and those that answer nobody: found, ended, begun again."""

import http.server
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ingestion.collect.members import Member
from ingestion.collect.status import status_file
from ingestion.connectors.registry import collecting_connectors
from ingestion.declare.stream import Stream
from ingestion.json_file import write_json
from ingestion.settings import load_settings
from ingestion.watch.lag import StreamLag
from orchestration.conditions.condition import Finding
from orchestration.conditions.pulse import beat, feel
from orchestration.keys import ARRIVALS_SENSOR
from orchestration.observe import collecting, machine, sources
from orchestration.observe import dagster as looks
from orchestration.observe.collecting import Collecting
from orchestration.observe.probes import Probes, Question, answers_grpc, answers_line
from orchestration.observe.sources import Sources
from orchestration.observe.worker import Worker
from orchestration.records.system_state import ServiceRow
from orchestration.sensors import standstill
from orchestration.sensors.standstill import Standstill, floods
from orchestration.services import supervisor
from orchestration.services.process import ChildProcess, ProcessSpec
from orchestration.services.supervisor import Supervisor
from orchestration.system import healing
from orchestration.system.healing import Healing
from orchestration.web.client import WebClient
from tests.waiting import eventually

CONNECTOR = collecting_connectors()[0]


def row(name: str, pid: int | None) -> ServiceRow:
    return ServiceRow(name, pid is not None, pid, 0, "")


def stuck(name: str) -> Finding:
    return Finding("service_stuck", name, f"{name} was halted")


@pytest.fixture
def child(tmp_path: Path) -> Iterator[ChildProcess]:
    script = "import time\nwhile True: time.sleep(0.1)"
    child = ChildProcess(ProcessSpec(name="daemon", argv=(sys.executable, "-c", script), log_folder=tmp_path))
    child.start()
    yield child
    if child.pid is not None:
        os.kill(child.pid, signal.SIGCONT)
    child.kill()


def test_a_halted_process_is_ended_and_started_again_and_the_condition_says_so(
    child: ChildProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "BACKOFF_FIRST_S", 0.0)
    system, now_s = Supervisor([child]), 100.0
    healer, before = Healing(system.pid_of), child.pid
    assert before is not None
    os.kill(before, signal.SIGSTOP)
    eventually(lambda: bool(list(machine.standing([row("daemon", before)]))), "it is halted")

    def turn() -> list[str]:
        found = list(machine.standing([row("daemon", system.pid_of("daemon"))]))
        done = [each.sentence for each in healer.heal(found, now_s)]
        system.check(now_s)
        return done

    assert turn() == [], "somebody may have halted it for a moment"
    assert child.pid == before
    now_s += healing._SEEN_SECONDS
    (sentence,) = turn()
    assert sentence.endswith("it was ended and is started again (1 of at most 5 times within an hour)")
    eventually(lambda: bool(turn()) and child.pid not in (None, before), "a new one runs")
    now_s += healing._PROVEN_SECONDS
    assert turn() == [], "it has lived for a while: all is well again"


def test_what_is_stuck_again_and_again_is_left_alone_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended: list[int] = []
    monkeypatch.setattr(healing, "_end", ended.append)
    healer, now_s, said = Healing(lambda _name: 1 + len(ended)), 0.0, [""]
    for _ in range(100):
        said = [each.sentence for each in healer.heal([stuck("web")], now_s)] or said
        now_s += 2.0
    assert ended == [1, 2, 3, 4, 5]
    assert said[0].endswith("it was ended 5 times within an hour, so now it is left alone")
    now_s += healing._WITHIN_SECONDS
    list(healer.heal([stuck("web")], now_s))
    list(healer.heal([stuck("web")], now_s + healing._SEEN_SECONDS))
    assert len(ended) == 6, "an hour later it is tried again"
    assert not list(Healing(lambda _name: 1).heal([Finding("disk_low", "/", "full")], now_s))
    off = Healing(lambda _name: 1, enabled=False)
    said = [each.remedy for now_s in range(100) for each in off.heal([stuck("web")], now_s)]
    assert len(ended) == 6
    assert said[-1].startswith("MILLRACE_RESTART_STUCK is off")


@pytest.fixture
def mute(tmp_path: Path) -> Iterator[Path]:
    """A Unix socket that takes connections and never says a word."""
    path = tmp_path / "mute"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen(64)
        yield path


def test_who_answers_nobody_is_stuck_after_its_patience_and_a_new_process_gets_as_much(
    mute: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestration.observe.probes.ANSWER_SECONDS", 0.05)
    asked = Probes({"warm": Question(lambda: answers_line(mute, b"{}"), 0.2)})
    assert not list(asked.look([row("warm", 1)]))
    time.sleep(0.2)
    (found,) = asked.look([row("warm", 1), row("daemon", 2)])
    assert (found.name, found.subject) == ("service_stuck", "warm")
    assert not list(asked.look([row("warm", 3)])), "another process"
    assert not list(asked.look([row("warm", None)])), "none"
    assert not answers_grpc(mute)


def test_any_answer_is_an_answer(tmp_path: Path) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert WebClient(load_settings(data_dir=tmp_path), server.server_port).answers(timeout_s=5)
        server.shutdown()
    assert not WebClient(load_settings(data_dir=tmp_path), 1).answers(timeout_s=5)
    path = tmp_path / ("long" * 30) / "s"
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as server_socket:
        folder = os.open(path.parent, os.O_RDONLY)
        server_socket.bind(f"/proc/self/fd/{folder}/{path.name}")
        os.close(folder)
        server_socket.listen()

        def answer() -> None:
            with closing(server_socket.accept()[0]) as connection:
                connection.sendall(connection.recv(10))

        threading.Thread(target=answer, daemon=True).start()
        assert answers_line(path, b"ping")
    assert not answers_line(tmp_path / "nobody", b"ping")


@pytest.mark.parametrize("number", [0, 2])
def test_a_collector_with_messages_that_stores_none_is_stuck_unless_it_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(collecting, "_IDLE_SECONDS", 0.1)
    member = Member(CONNECTOR, number)
    looking, services = Collecting(tmp_path), [row(member.name, os.getpid())]

    def found(**status: object) -> list[tuple[str, str]]:
        write_json(status_file(tmp_path, *member), status)
        return [(each.name, each.subject) for each in looking.look(services)]

    waits = {"messages": 9, "unacknowledged": 4, "positions": {"s": 5}}
    assert found(**waits) == []
    time.sleep(0.15)
    assert found(**waits) == [("service_stuck", member.name)]
    assert found(**waits | {"positions": {"s": 6}}) == [], "it has stored something"
    time.sleep(0.15)
    full = waits | {"error": "it is full", "blocked_streams": {"s": "it is full", "t": "it is damaged"}}
    assert found(**full) == [("spool_blocked", f"{member.name} {name}") for name in "st"]
    assert found(**waits | {"unrouted": 3}) == [("messages_unrouted", member.name)]
    time.sleep(0.15)
    assert found(**waits | {"unacknowledged": 0}) == [], "there was nothing to do"


def test_a_tick_that_hangs_is_the_code_servers_and_one_that_ended_is_nobodys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    def hangs() -> bool:
        found = looks.hanging_tick(tmp_path, within=2 * looks._TICK)
        return found is not None and found.subject == "code-server"

    assert not hangs(), "no pulse yet"
    beat(tmp_path, ARRIVALS_SENSOR, doing="a tick")
    pulse = feel(tmp_path, ARRIVALS_SENSOR)
    assert pulse is not None
    assert pulse.doing == "a tick"
    assert not hangs(), "it has only begun"
    long_ago = time.monotonic() - 2 * looks._TICK.total_seconds()
    monkeypatch.setattr(time, "monotonic", lambda: long_ago)
    beat(tmp_path, ARRIVALS_SENSOR, doing="a tick")
    monkeypatch.undo()
    assert hangs()
    monkeypatch.setattr(time, "monotonic", lambda: long_ago)
    beat(tmp_path, ARRIVALS_SENSOR)
    monkeypatch.undo()
    assert not hangs()


def test_brokers_are_looked_at_from_here_while_the_sensor_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "STALE_SECONDS", 0.0)
    monkeypatch.setattr(sources, "_BROKER_SECONDS", 0.2)
    stream = Stream.model_validate({"name": "orders", "source": {"kafka": "orders"}})
    settings = load_settings(data_dir=tmp_path, kafka_bootstrap_servers="127.0.0.1:1")
    looking = Sources(settings, lambda: [stream])
    (found,) = looking.look()
    assert (found.name, found.subject) == ("source_unreachable", "orders")
    assert "does not answer" in found.sentence
    assert list(looking.look()) == [found], "it is not asked all the time"
    monkeypatch.setattr(sources, "STALE_SECONDS", 60.0)
    beat(tmp_path, ARRIVALS_SENSOR)
    assert not list(looking.look()), "the sensor looks again"


def test_a_stream_whose_position_stays_while_events_are_unread_is_stalled() -> None:
    look, after = Standstill().look, standstill.STALLED_SECONDS + 1

    def found(lag: StreamLag, now_s: float, *paused: str) -> list[str]:
        return [each.subject for each in look([lag], paused=paused, now_s=now_s)]

    unread = StreamLag("s", events=5, position=7)
    assert found(unread, 0) == []
    assert found(unread, after) == ["s"]
    assert found(StreamLag("s", events=5, position=8), after) == [], "it has moved"
    assert found(StreamLag("s", events=5, position=8), 2 * after) == ["s"]
    assert found(StreamLag("s", events=5, position=8), 2 * after, "s") == [], "it says itself why"
    assert found(StreamLag("s", events=0, position=8), 3 * after) == [], "there is nothing to do"
    assert found(StreamLag("s", events=1, position=8), 3 * after) == []


def test_a_flood_of_rejects_is_more_than_the_stream_allows_or_half() -> None:
    free, strict = (
        Stream.model_validate({"name": name, "source": {"kafka": "t"}} | more)
        for name, more in (("free", {}), ("strict", {"max_reject_share": 0.1}))
    )
    found = floods([free, strict], {"free": (100, 51), "strict": (100, 11)})
    assert {each.subject for each in found} == {"free", "strict"}
    assert not list(floods([free, strict], {"free": (100, 50), "strict": (19, 19)}))


def test_a_thread_outlives_a_turn_that_fails() -> None:
    turns: list[int] = []

    def turn() -> None:
        turns.append(1)
        raise ValueError("https://hook/t0ken")

    worker = Worker("t", turn, pause_s=lambda: 0.01, patience_s=1.0)
    worker.start()
    eventually(lambda: len(turns) > 2, "it goes on")
    worker.stop()


def test_a_folder_that_is_gone_is_a_condition(tmp_path: Path) -> None:
    known, lake = set[Path](), tmp_path / "lake"

    def found() -> list[tuple[str, str]]:
        looked = machine.disks([tmp_path, lake], known=known, reserve_bytes=0)
        return [(each.name, each.subject) for each in looked]

    assert found() == [], "the first batch makes it"
    lake.mkdir()
    assert found() == []
    lake.rmdir()
    assert found() == [("files_not_writable", str(lake))]
