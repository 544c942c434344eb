"""W6: a handful of events a second for minutes: the cores that the whole system takes, and freshness.

`python -m benchmarks.w6_trickle --for 300 --rates 13,100 --budgets 5,1`: `millrace up` with its web UI, live
page and serving on Apache Kafka and Mosquitto; half the events come over each. A budget is what the marts
declare; another than the project's own is in a copy of the project. An independent process says when events
are visible.
"""

import argparse
import re
import shutil
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

from benchmarks.report import Row, at_most, emit
from benchmarks.system import Brokers, Running, brokers, millrace_up
from benchmarks.tree import cpu_seconds
from benchmarks.w3_chain import Reader, freshness, percentile, send, wait_for, watching
from tests.repository import REPOSITORY

_CORES = {13.0: 0.2}
"""Rate → cores at the most, with a budget of 5 s."""
_OWN_BUDGET = 5.0
_BUDGET = re.compile(r"freshness_seconds: [\d.]+")


def project_with(budget: float, folder: Path) -> Path:
    """The plant's project with another budget."""
    ignored = shutil.ignore_patterns("target", "logs", "dbt_packages", ".millrace_package", ".user.yml")
    shutil.copytree(REPOSITORY / "dbt_project", folder / "dbt_project", ignore=ignored)
    shutil.copy(REPOSITORY / "streams.yml", folder)
    file = folder / "dbt_project" / "dbt_project.yml"
    file.write_text(_BUDGET.sub(f"freshness_seconds: {budget:g}", file.read_text()))
    return folder


class Trickle:
    """One system, and what was sent to it.

    Args:
        servers: Its brokers.
        running: The system.
    """

    def __init__(self, servers: Brokers, running: Running) -> None:
        self._servers, self._running = servers, running
        self._reader = Reader(running.settings())
        self._sent = Counter[str]()

    def send(self, rate: float, seconds: float) -> bool:
        """Send events until all are in the marts; whether they came."""
        self._sent.update(send(self._servers, rate=rate, seconds=seconds))
        return wait_for(
            lambda: all(self._reader.in_marts(name) == count for name, count in self._sent.items()),
            seconds=180,
        )

    def measure(self, rate: float, seconds: float, *, budget: float) -> list[Row]:
        """Cores and freshness at one rate."""
        cycles, began = self._batches(), time.time()
        before, started = cpu_seconds(self._running.roots()), time.monotonic()
        with watching(self._running, "mart") as sights:
            complete = self.send(rate, seconds)
            took = time.monotonic() - started
            cores = (cpu_seconds(self._running.roots()) - before) / took
            ages = freshness(self._reader.lake, sights, since=began + min(10.0, seconds / 4))
        every = [age for values in ages.values() for age in values]
        batches = (self._batches() - cycles) / len(ages)
        what = f"{rate:g} events/s, budget {budget:g} s"
        note = f"a batch of each stream every {took / batches:.1f} s; complete: {'yes' if complete else 'NO'}"
        limit = _CORES.get(rate) if budget == _OWN_BUDGET else None
        first = f"cores at {what}"
        return [
            at_most("W6", first, cores, limit, unit="cores", note=note) if limit
            else Row("W6", first, f"{cores:.3g} cores", note=note),
            Row("W6", f"freshness at {what}, p50", f"{percentile(every, 0.5):.3g} s"),
            at_most("W6", f"freshness at {what}, p95", percentile(every, 0.95), budget, unit="s"),
        ]  # fmt: skip

    def _batches(self) -> int:
        return int(self._reader.lake.query("select count(*) from raw.batches where events_landed > 0")[0][0])

    def close(self) -> None:
        """Close the reader."""
        self._reader.lake.close()


def measure(folder: Path, *, seconds: float, rates: list[float], budget: float) -> list[Row]:
    """The rates one after another, on one system."""
    rows: list[Row] = []
    with brokers(folder) as servers:
        settings = servers.settings()
        if budget != _OWN_BUDGET:
            settings["project"] = str(project_with(budget, folder / "project"))
        with millrace_up(folder / "data", settings) as running, closing(Trickle(servers, running)) as trickle:
            assert trickle.send(20, 2), "the first events did not reach the marts"
            for rate in rates:
                trickle.send(rate, 10)  # the warm process, caches
                rows += trickle.measure(rate, seconds, budget=budget)
    return rows


def main() -> None:
    """Parse the command line; a system for each budget."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--for", dest="seconds", type=float, default=300.0, help="seconds a rate")
    parser.add_argument("--rates", default="13,100", help="events a second, both brokers together")
    parser.add_argument("--budgets", default="5,1", help="seconds")
    options = parser.parse_args()
    rates = [float(rate) for rate in options.rates.split(",")]
    for budget in options.budgets.split(","):
        with tempfile.TemporaryDirectory(prefix="millrace-bench-") as folder:
            emit(measure(Path(folder), seconds=options.seconds, rates=rates, budget=float(budget)))


if __name__ == "__main__":
    main()
