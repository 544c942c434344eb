"""W2: freshness of the running system at 100, 1,000 and 10,000 events/s, and through a burst of ten times.

`python -m benchmarks.w2_paced --for 60`: Kafka carries it, for an MQTT client in Python cannot send as fast.
The same system takes the rates one after another.
"""

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.report import Row, emit
from benchmarks.system import ORDERS, brokers, millrace_up
from benchmarks.w3_chain import Reader, freshness, percentile, send, wait_for, watching

_DRAIN_SECONDS = 240


def measure(folder: Path, *, seconds: float, paces: list[tuple[float, float]]) -> list[Row]:
    """One row a pace: (events a second, factor during the middle tenth)."""
    rows = []
    with brokers(folder) as servers, millrace_up(folder / "data", servers.settings()) as running:
        reader, sent = Reader(running.settings()), Counter(send(servers, rate=20, seconds=2, mqtt=False))

        def all_there() -> bool:
            return reader.in_marts(ORDERS) == sent[ORDERS]

        assert wait_for(all_there, seconds=_DRAIN_SECONDS), "the first events did not reach the marts"
        with watching(running) as sights:
            for rate, burst in paces:
                began = time.time()
                loaded = send(servers, rate=rate, seconds=seconds, burst=burst, mqtt=False)
                sent.update(loaded)
                stopped = time.time()
                complete = wait_for(all_there, seconds=_DRAIN_SECONDS)
                drained = time.time() - stopped
                ages = freshness(reader.lake, sights, since=began).get(ORDERS, [])
                what = f"freshness at {rate:,.0f} events/s" + (f", burst {burst:g}×" if burst > 1 else "")
                rows.append(
                    Row(
                        "W2", what,
                        " / ".join(f"{percentile(ages, share):.3g}" for share in (0.5, 0.95, 0.99)) + " s",
                        note=f"p50 / p95 / p99; sent {loaded[ORDERS] / seconds:,.0f}/s, {drained:.0f} s to "
                        f"the last one in its mart; complete: {'yes' if complete else 'NO'}",
                    )
                )  # fmt: skip
        reader.lake.close()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--for", dest="seconds", type=float, default=60.0, help="seconds of each pace")
    parser.add_argument("--rates", default="100,1000,10000")
    parser.add_argument("--burst", type=float, default=10.0, help="on the middle rate")
    options = parser.parse_args()
    rates = [float(rate) for rate in options.rates.split(",")]
    paces = [(rate, 1.0) for rate in rates] + [(rates[len(rates) // 2], options.burst)]
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as folder:
        emit(measure(Path(folder), seconds=options.seconds, paces=paces))


if __name__ == "__main__":
    main()
