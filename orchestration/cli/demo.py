"""`millrace demo`: runs the demo, shows it, and after --for its summary.

What the demo consists of and how it is judged is in orchestration/demo.
"""

import json
import shlex
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from orchestration.cli.context import Globals, err, out
from orchestration.cli.live import interruptible, progress, watch
from orchestration.cli.tables import table
from orchestration.demo.folder import require_demo_folder, wipe
from orchestration.demo.freshness import MARTS, FreshnessReader
from orchestration.demo.plant import ORDERS_TOPIC
from orchestration.demo.project import plant_project
from orchestration.demo.summary import Summary, percentile
from orchestration.demo.system import Demo
from orchestration.system.data_folder import require_usable
from orchestration.system.lock import only_system


def demo(options: Globals, *, seconds: float | None, rate: float, ui: bool) -> int:
    """Run the demo until Ctrl-C, or for a time and then judge it.

    Args:
        options: The global options.
        seconds: How long the plant sends; None until Ctrl-C.
        rate: Readings a second of each machine.
        ui: Whether the web UI is started.

    Returns:
        The exit code: 1 when a judged demo is bad.
    """
    current = options.settings(needs_project=False)
    folder = current.data_dir
    require_demo_folder(folder)
    require_usable(folder)
    with only_system(folder), interruptible() as interrupted, suppress(KeyboardInterrupt):
        wipe(folder)
        summary = _run(
            folder, plant_project(current), seconds=seconds, rate=rate, ui=ui, interrupted=interrupted
        )
        if summary is None:
            return 0
        out.print(render_summary(summary))
        return int(bool(summary.problems))
    return 0 if seconds is None else 130


def _run(
    folder: Path,
    project: Path,
    *,
    seconds: float | None,
    rate: float,
    ui: bool,
    interrupted: Callable[[], bool],
) -> Summary | None:
    """The summary of a demo that ran for its time; None for one without an end."""
    demo = Demo(folder, project=project, rate=rate, ui=ui, progress=progress)
    try:
        demo.start()
        deadline = None if seconds is None else time.monotonic() + seconds
        watch(
            demo.system,
            title=_title(demo),
            until=lambda: interrupted() or (deadline is not None and time.monotonic() >= deadline),
            pause_s=1.5,
            extra=lambda: _freshness_line(demo.reader, demo.report),
        )
        if seconds is None:
            return None
        progress("the plant stops; what is under way arrives")
        demo.system.stop_senders()
        with err.status("waiting for the last events …"):
            demo.drain()
        return demo.judge()
    finally:
        out.print("stopping …")
        demo.stop()


def _title(demo: Demo) -> str:
    system, folder = demo.system, demo.system.settings.data_dir
    where = f"The demo runs on {folder}"
    return "\n".join(
        (
            f"{where}; {system.ui_url} is the web UI" if system.ui_url else where,
            f"{demo.brokers.addresses()}; send events of your own from another shell:",
            f"  millrace --data-dir {shlex.quote(str(folder))} produce {ORDERS_TOPIC} --count 5",
        )
    )


def _freshness_line(reader: FreshnessReader, report: Path) -> RenderableType:
    line = Text.assemble(("freshness  ", "bold"))
    for stream in MARTS:
        recent = sorted(
            age for sight in reader.sights[-20:] if sight.stream == stream for age in sight.ages_s
        )
        half = percentile(recent, 0.5)
        line.append(f"{stream} {'-' if half is None else f'{half:.1f} s'}   ")
    with suppress(OSError, ValueError):
        sent = json.loads(report.read_text())
        line.append(
            f"plant: {sent['readings']:,} readings, {sent['kafka_records']:,} order events, "
            f"{sent['faults']} faults",
            style="dim",
        )
    return line


def render_summary(summary: Summary) -> RenderableType:
    """The summary, a line a fact."""
    right = ("sent", "in raw", "rejected", "in marts", "p50 s", "p95 s")
    counts = table("broker", "stream", *right, right=right)
    for delivery in summary.deliveries:
        counts.add_row(
            delivery.broker, delivery.stream, str(delivery.sent), str(delivery.raw), str(delivery.rejected),
            str(delivery.marts), _seconds(delivery.p50_s), _seconds(delivery.p95_s),
        )  # fmt: skip
    checks = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in summary.checks.items())
    hops = ", ".join(f"{hop} {seconds:.1f} s" for hop, seconds in summary.hops.items())
    lines = [
        f"runs launched by sensors: {summary.runs_by_sensors} succeeded, {summary.runs_failed} failed",
        f"checks: {checks}",
        f"alerts found: {summary.alerts}",
        f"slowest hop: {summary.slowest_hop or 'none'} (medians: {hops or 'none'})",
    ]
    return Group(Text(), counts, Text(), *(Text(line) for line in lines), *_verdict(summary.problems))


def _verdict(problems: Sequence[str]) -> list[Text]:
    if not problems:
        return [Text("Good: every event of both brokers reached the marts, and every check passed.", "green")]
    return [Text("Not good:", "red"), *(Text(f"  {problem}", "red") for problem in problems)]


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
