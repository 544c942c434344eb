"""A warm process that forks a child per order, lets it ingest, and kills it where the order says.

`python -m tests.fault.worker` reads orders as JSON lines and answers each with the child's exit. Imports
are paid once, so that thousands of kills are minutes and not hours. A `victim` dies in place of the child.
"""

import importlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import psutil

from ingestion.clock import utc_now
from ingestion.declare.decoding import decoder_of
from ingestion.declare.logs import open_log
from ingestion.declare.stream import Stream
from ingestion.errors import MillraceError
from ingestion.faultpoints import install_hook
from ingestion.lake.lake import Lake
from ingestion.land.batch import Ingestor
from ingestion.settings import load_settings
from ingestion.upkeep.maintenance import Limits, maintain
from orchestration.services.process import is_alive, wait_until

EXIT_DONE, EXIT_REFUSED = 0, 3
REFUSED = "refused: "
"""Before the sentence of a run that ends with EXIT_REFUSED; a line of standard output."""
_ON_THE_WAY = [
    "confluent_kafka",
    "dlt.sources.helpers.requests",
    "dlt._workspace.cli",
    "ingestion.connectors.kafka.log",
    "ingestion.connectors.kafka.librdkafka",
    "pendulum.locales.en",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "sqlalchemy",
]
"""What a batch imports on first use; whatever is missing here costs time only."""


def _kill(pid: int) -> None:
    """Kill a process and its children; return when all are gone, unless it is this one."""
    family = [psutil.Process(pid), *psutil.Process(pid).children()]
    for process in family:
        with suppress(psutil.NoSuchProcess):  # PostgreSQL's end when their parent does
            process.kill()
    wait_until(lambda: not any(is_alive(process) for process in family), timeout_s=60)


def arm(order: dict[str, Any]) -> None:
    """Die, or let the victim die, at `place` when it has been passed `passes` times."""
    passed = 0

    def die(name: str) -> None:
        nonlocal passed
        if name == order.get("place"):
            passed += 1
            if passed == order.get("passes", 1):
                _kill(order.get("victim", os.getpid()))

    install_hook(die)


def _ingest(order: dict[str, Any]) -> int:
    """Ingest batches until there is nothing left; then do upkeep if told so."""
    arm(order)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as the CLI and Dagster's runs take it
    settings = load_settings(**order["settings"])
    stream = Stream.model_validate(order["stream"])
    try:
        with Lake(settings) as lake:
            log = open_log(stream, settings)
            ingestor, decode = Ingestor(lake), decoder_of(stream, settings)
            while ingestor.run(stream, log, decode=decode).batch_id is not None:
                pass
            log.close()
            if order.get("upkeep"):
                maintain(lake, [stream], now=utc_now() + timedelta(days=30), limits=Limits(least_files=2))
    except MillraceError as error:
        print(f"{REFUSED}{' '.join(str(error).splitlines())}", flush=True)
        return EXIT_REFUSED
    return EXIT_DONE


def _obey(order: dict[str, Any], child: Callable[[dict[str, Any]], int]) -> int:
    """Fork, kill after a time if told so, politely first if there is a grace, and return the exit code.

    A negative code is the signal.
    """
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = child(order)
        except BaseException:  # nothing else would show it
            traceback.print_exc()
        finally:
            os._exit(code)
    if (seconds := order.get("kill_after_seconds")) is not None:
        time.sleep(seconds)
        if (grace := order.get("grace_seconds")) is not None:
            os.kill(pid, signal.SIGTERM)
            time.sleep(grace)
        os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def serve(child: Callable[[dict[str, Any]], int]) -> None:
    """Obey orders until standard input ends."""
    for line in sys.stdin:
        print(_obey(json.loads(line), child), flush=True)


if __name__ == "__main__":
    for module in _ON_THE_WAY:
        with suppress(ImportError):
            importlib.import_module(module)
    serve(_ingest)
