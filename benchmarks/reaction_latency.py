"""From the commit of a mart of alerts to the webhook's answer: what the supervisor adds, without the lake.

A build leaves the open alerts in a file right after its commit; this writes that file as it does, lets the
supervisor's main loop look every half second as `millrace up` does, and notes when the receiver had it.
Usage: python -m benchmarks.reaction_latency [ALERTS]
"""

import argparse
import json
import os
import random
import statistics
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from orchestration.conditions.rule_alerts import OpenAlert, note_rule_alerts, rule_alert_findings
from tests.orchestration.reactions.desk import Desk
from tests.servers.receiver import Receiver

LOOK_SECONDS = 0.5
"""As orchestration/cli/live.py."""


def measured(folder: Path, count: int) -> tuple[list[float], list[float]]:
    """Seconds from the commit until the receiver had each alert; and from its note in the ledger."""
    taken: dict[str, float] = {}
    committed: dict[str, float] = {}
    (folder / "reactions.yml").write_text("pager: {send: {webhook: {url_env: PAGER_URL}}}\n")
    with Receiver() as receiver:
        os.environ["PAGER_URL"] = receiver.url
        desk, done = Desk(folder), threading.Event()

        def look() -> None:
            while not done.is_set():
                findings = list(rule_alert_findings(desk.settings.data_dir))
                desk.note(findings, now=datetime.now(UTC))
                time.sleep(LOOK_SECONDS)

        def receive() -> None:
            seen = 0
            while not done.is_set():
                for each in receiver.requests[seen:]:
                    seen += 1
                    taken.setdefault(f"{each.alert['event']} {each.alert['subject']}", time.monotonic())
                time.sleep(0.002)

        with desk.sending():
            threads = [threading.Thread(target=each) for each in (look, receive)]
            for thread in threads:
                thread.start()
            for number in range(count):
                alert = OpenAlert("too_hot", f"press-{number}", "critical", datetime.now(UTC))
                note_rule_alerts(desk.settings.data_dir, "alerts", [alert])
                key = f"condition_opened too_hot of press-{number}"
                committed[key] = time.monotonic()
                while key not in taken:
                    time.sleep(0.002)
                time.sleep(random.uniform(0, 1))  # a build ends at any moment of the loop
            done.set()
            for thread in threads:
                thread.join()
    waits = [taken[key] - at for key, at in committed.items()]
    latencies = [each.latency_seconds or 0.0 for each in desk.entries("delivered")]
    return waits, latencies


def main() -> None:
    """Measure and print p50 and p95."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("alerts", type=int, nargs="?", default=200, help="how many; 200 by default")
    count = parser.parse_args().alerts
    with tempfile.TemporaryDirectory() as folder:
        waits, latencies = measured(Path(folder), count)
    found = {
        name: {
            "p50_ms": round(statistics.quantiles(values, n=20)[9] * 1000),
            "p95_ms": round(statistics.quantiles(values, n=20)[18] * 1000),
            "most_ms": round(max(values) * 1000),
        }
        for name, values in (("commit_to_accepted", waits), ("noted_to_accepted", latencies))
    }
    print(json.dumps({"alerts": count, "load": os.getloadavg()[0], **found}, indent=2))


if __name__ == "__main__":
    main()
