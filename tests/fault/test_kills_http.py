"""kill -9 of the collector that receives HTTP: what was answered with 202 is in the spool, with a key once.

Senders do as senders should: what got no answer, or was refused for the moment, is sent again with its key.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestion.settings import load_settings
from tests.fault.conftest import Count, Tally
from tests.fault.seeds import KILLS, SEED
from tests.ingestion.posting import JSON, Post
from tests.repository import REPOSITORY
from tests.servers.ports import free_ports

PLACES = ["intake.commit", "spool.written", "spool.durable", "http.stored", "http.noted"]
KILLS_ITSELF = """
import os, signal, sys
from ingestion import faultpoints
from ingestion.collect.__main__ import main
places = []
def hook(place):
    places.append(place)
    if places.count(sys.argv[1]) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
faultpoints.install_hook(hook)
sys.exit(main(["http"]))
"""


class Senders:
    """A collector that dies, and what was sent to it: with and without a key."""

    def __init__(self, folder: Path, count: Count) -> None:
        self._folder, self._count = folder, count
        (port,) = free_ports(1)
        self.post = Post(load_settings(data_dir=folder / "data", http_port=port), port)
        (folder / "data").mkdir()
        (folder / "data" / "streams.yml").write_text("clicks: {source: {http: clicks}}\n")
        self._process: subprocess.Popen[bytes] | None = None
        self._keyed: list[bytes] = []
        self._accepted: set[bytes] = set()

    def start(self, *program: str) -> None:
        data = self._folder / "data"
        self._process = subprocess.Popen(
            [sys.executable, *(program or ("-m", "ingestion.collect", "http"))],
            cwd=REPOSITORY,
            stdout=(data / "out").open("ab"),
            stderr=subprocess.STDOUT,
            env={
                **os.environ,
                "MILLRACE_DATA_DIR": str(data),
                "MILLRACE_STREAMS_FILE": str(data / "streams.yml"),
                "MILLRACE_HTTP_PORT": str(self.post.port),
            },
        )

    def kill_at(self, place: str, *, passes: int) -> None:
        """Send until the collector has killed itself when it came there so many times."""
        self.start("-c", KILLS_ITSELF, place, str(passes))
        while self._process is not None and self._process.poll() is None:
            self.send()
        assert self._process is not None
        assert self._process.returncode == -signal.SIGKILL, (self._folder / "data" / "out").read_text()
        self._count.kills += 1

    def send(self) -> None:
        """One request with a key, until it is accepted or the collector is dead; and one without."""
        value = b"%d" % self._count.events
        self._count.events += 1
        self._keyed.append(value)
        self._deliver(value)
        bare = b'"bare %s"' % value
        if self._ask(bare, {}) == 202:
            self._accepted.add(bare)

    def send_the_rest(self) -> None:
        """What was not accepted yet is sent again, and some of what was."""
        for value in [each for each in self._keyed if each not in self._accepted] + self._keyed[-5:]:
            while not self._deliver(value):
                assert self._process is not None
                assert self._process.poll() is None, (self._folder / "data" / "out").read_text()

    def violations(self) -> list[str]:
        found = Counter(self.post.values("clicks"))
        wanted = self._accepted | set(self._keyed)
        lost = [value for value in wanted if not found[value]]
        twice = [value for value in self._keyed if found[value] > 1]
        self._count.violations += len(lost) + len(twice)
        return [*(f"{value!r} is lost" for value in lost), *(f"{value!r} is there twice" for value in twice)]

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            assert self._process.wait(60) == 0

    def _deliver(self, value: bytes) -> bool:
        """Send until it is accepted; False once nobody listens."""
        while (status := self._ask(value, {"Idempotency-Key": f"key-{value.decode()}"})) not in (0, 202):
            time.sleep(0.01)
        if status == 202:
            self._accepted.add(value)
        return status == 202

    def _ask(self, value: bytes, headers: dict[str, str]) -> int:
        """The status; 0 without an answer."""
        try:
            return self.post.post("clicks", value, {**JSON, **headers}).status
        except (OSError, ValueError):
            time.sleep(0.02)
            return 0


@pytest.fixture
def senders(tmp_path: Path, tally: Tally) -> Iterator[Senders]:
    senders = Senders(tmp_path, tally.places["collector of HTTP"])
    yield senders
    senders.stop()


@pytest.mark.slow("starts collectors, which die")
def test_a_killed_collector_keeps_what_it_accepted_and_repeats_no_key(senders: Senders) -> None:
    print(f"seed {SEED}")
    dice = random.Random(SEED)
    rounds = PLACES * max(KILLS // 5, 1) if KILLS >= 5 else ["spool.durable", "http.noted"]
    for place in rounds:
        senders.kill_at(place, passes=dice.randint(2, 20))
    senders.start()
    senders.send_the_rest()
    senders.stop()
    assert senders.violations() == []
