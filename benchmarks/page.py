"""What the live page costs with nobody, one viewer and fifty.

`python -m benchmarks.page`: `millrace up` with its page on 13 events/s; they look at the overview for a
minute each. What the page's process takes, and the whole tree beside it.
"""

import argparse
import tempfile
import time
from pathlib import Path

from benchmarks.report import Row, emit
from benchmarks.system import brokers, millrace_up
from benchmarks.tree import cpu_seconds, pss_mib
from benchmarks.viewers import Viewers, page_process
from benchmarks.w3_chain import Reader, send, wait_for


def measure(folder: Path, *, seconds: float, counts: list[int]) -> list[Row]:
    """One system; the viewers of each count look for so many seconds while events come."""
    rows: list[Row] = []
    with brokers(folder) as servers, millrace_up(folder / "data", servers.settings()) as running:
        reader, sent = Reader(running.settings()), send(servers, rate=20, seconds=2)
        came = wait_for(lambda: all(reader.in_marts(name) == sent[name] for name in sent), seconds=180)
        assert came, "the first events did not reach the marts"
        reader.lake.close()
        page, port = page_process(running)
        for count in counts:
            send(servers, rate=13, seconds=10)
            with Viewers(port, count) as viewers:
                time.sleep(3.0)  # the first picture
                cpu, tree, heard = cpu_seconds([page]), cpu_seconds(running.roots()), viewers.heard_bytes
                started = time.monotonic()
                send(servers, rate=13, seconds=seconds)
                took = time.monotonic() - started
                cpu, tree = cpu_seconds([page]) - cpu, cpu_seconds(running.roots()) - tree
                memory, heard = pss_mib([page]), viewers.heard_bytes - heard
            assert not count or heard, "the page sent its viewers nothing"
            note = f"the whole tree {60 * tree / took:.1f} CPU-s a minute; {heard / 2**20:.1f} MiB sent"
            who = f"the live page with {count} viewer{'' if count == 1 else 's'}"
            rows.append(Row("page", f"{who}, CPU", f"{60 * cpu / took:.2f} s a minute", note=note))
            rows.append(Row("page", f"{who}, memory (PSS)", f"{memory:.0f} MiB"))
    return rows


def main() -> None:
    """Parse the command line; one system for all counts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--for", dest="seconds", type=float, default=60.0, help="seconds of looking")
    parser.add_argument("--viewers", default="0,1,50", help="how many look, one after another")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as folder:
        counts = [int(count) for count in options.viewers.split(",")]
        emit(measure(Path(folder), seconds=options.seconds, counts=counts))


if __name__ == "__main__":
    main()
