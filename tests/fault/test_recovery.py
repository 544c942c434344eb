"""From the end of each fault to the next event in raw, in seconds, each with its bound (`make fault`)."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.e2e.test_demo import processes_of
from tests.fault.conftest import Tally
from tests.fault.recovery import Meter, Recovery, kill, service
from tests.fault.test_kills_system import TOPIC, Running
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.mosquitto import Mosquitto
from tests.waiting import eventually

ONE_PROCESS_SECONDS = 15.0
WHOLE_TREE_SECONDS = 30.0
PROCESSES = ("collector", "postgres", "warm", "code-server", "daemon")


@pytest.fixture
def running(tmp_path: Path, apache_kafka: ApacheKafka, mosquitto: Mosquitto) -> Iterator[Running]:
    running = Running(tmp_path, apache_kafka, mosquitto)
    yield running
    for process in processes_of(running.folder):
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGCONT)
            process.kill()
    apache_kafka.delete_topic(TOPIC)


def test_recovery_from_each_fault(
    running: Running, apache_kafka: ApacheKafka, mosquitto: Mosquitto, tally: Tally
) -> None:
    meter = Meter(running.folder, kafka=(apache_kafka.bootstrap_servers, TOPIC), mqtt_port=mosquitto.port)
    meter.measure()

    def restart_mosquitto() -> None:
        mosquitto.kill()
        mosquitto.start()

    def halted(name: str) -> Callable[[], None]:
        def halt() -> None:
            process = service(running.folder, name)
            os.kill(process.pid, signal.SIGSTOP)
            eventually(lambda: not process.is_running() or process.status() == "zombie", "ended", seconds=90)

        return halt

    def again(victim: str) -> Callable[[], None]:
        def end_and_begin() -> None:
            running.end(victim)
            running.begin()

        return end_and_begin

    faults: dict[str, tuple[Callable[[], None], float]] = {
        "none": (lambda: None, ONE_PROCESS_SECONDS),
        **{
            f"kill -9 of {name}": (lambda name=name: kill(service(running.folder, name)), ONE_PROCESS_SECONDS)
            for name in PROCESSES
        },
        "Mosquitto killed and started": (restart_mosquitto, ONE_PROCESS_SECONDS),
        **{
            f"{name} halted, once ended": (halted(name), ONE_PROCESS_SECONDS)
            for name in ("collector", "warm")
        },
        "kill -9 of the supervisor": (again("supervisor"), WHOLE_TREE_SECONDS),
        "kill -9 of the whole tree": (again("tree"), WHOLE_TREE_SECONDS),
    }
    chosen = os.environ.get("MILLRACE_FAULT_ONLY", "")
    for fault, (cause, bound) in faults.items():
        if chosen not in fault:
            continue
        cause()
        tally.recoveries.append(Recovery(fault, meter.measure(), bound))
        print(tally.recoveries[-1], flush=True)
    running.stop()
    late = [each.fault for each in tally.recoveries if not each.holds]
    assert late == [], late
