"""`millrace demo`: runs the demo, shows it, and then its summary.

What the demo consists of and how it is judged is in orchestration/demo.
"""

import json
import shlex
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from ingestion.data_folder import demo_folder, shown
from ingestion.environment import exported
from ingestion.errors import ConfigError
from orchestration.cli.context import Globals, err, out
from orchestration.cli.live import Terminated, addresses, interruptible, progress, watch
from orchestration.cli.tables import table
from orchestration.demo.folder import added_by_others, require_demo_folder, wipe
from orchestration.demo.freshness import FreshnessReader
from orchestration.demo.guests import EMULATED, left_out, present
from orchestration.demo.project import A_QUERY, plant_project
from orchestration.demo.reactions import RECEIVED, TOPIC
from orchestration.demo.senders import ORDERS_TOPIC
from orchestration.demo.summary import Summary, percentile
from orchestration.demo.system import Demo
from orchestration.system.data_folder import require_usable
from orchestration.system.lock import only_system


def demo(options: Globals, *, seconds: float | None, rate: float, ui: bool) -> int:
    """Run the demo for a time or until Ctrl-C, then judge it.

    Args:
        options: The global options; without --data-dir the demo has a folder beside the project's.
        seconds: How long the plant sends; None until Ctrl-C.
        rate: Readings a second of each machine.
        ui: Whether the web UI is started.

    Returns:
        The exit code: 1 when the judged demo is bad, 130 when it was stopped before its time.
    """
    current = options.settings(needs_project=False)
    folder = current.data_dir if options.data_dir is not None else demo_folder(current.data_dir)
    webhook = current.alert_webhook_url
    variables = EMULATED.copy()
    if webhook is not None:
        variables["MILLRACE_ALERT_WEBHOOK_URL"] = webhook.get_secret_value()
    require_demo_folder(folder)
    require_usable(folder)
    with (
        only_system(folder), interruptible() as interrupted, suppress(KeyboardInterrupt), exported(variables)
    ):  # fmt: skip
        _require_consent(folder)
        wipe(folder)
        guests = present()
        for sentence in left_out():
            progress(sentence)
        project = plant_project(current.replaced(data_dir=folder), guests)
        demo = Demo(folder, project=project, rate=rate, ui=ui, progress=progress, guests=guests)
        summary, stopped = _run(demo, seconds=seconds, interrupted=interrupted)
        out.print(render_summary(summary), soft_wrap=False)
        return 130 if stopped and seconds is not None else int(bool(summary.problems))
    return 0 if seconds is None else 130


def _require_consent(folder: Path) -> None:
    """Ask before something goes that no demo has made; where nobody can be asked, raise ConfigError."""
    added = ", ".join(added_by_others(folder))
    if not added or (sys.stdin.isatty() and typer.confirm(f"{folder} holds {added}. Delete it?")):
        return
    raise ConfigError(
        f"{folder} holds {added}, and a new demo would delete it: move the folder, or run the demo on "
        f"another one, as in 'millrace --data-dir {shown(folder)}-2 demo'"
    )


def _run(demo: Demo, *, seconds: float | None, interrupted: Callable[[], bool]) -> tuple[Summary, bool]:
    """The summary of a demo, and whether Ctrl-C ended it. A second Ctrl-C ends it without a summary."""
    try:
        demo.start()
        stopped = not _watch(demo, seconds=seconds)
        progress("the plant stops; what is under way arrives")
        demo.system.stop_senders()
        with err.status("waiting for the last events; Ctrl-C stops at once …"):
            demo.drain()
        return demo.judge(), stopped
    except Exception:
        interrupted()
        raise
    finally:
        out.print("stopping …")
        demo.stop()


def _watch(demo: Demo, *, seconds: float | None) -> bool:
    """Show a demo for its time; False when Ctrl-C ended it earlier."""
    deadline = None if seconds is None else time.monotonic() + seconds
    try:
        with interruptible() as interrupted:
            watch(
                demo.system,
                title=_title(demo),
                until=lambda: interrupted() or (deadline is not None and time.monotonic() >= deadline),
                pause_s=1.5,
                extra=lambda: _freshness_line(demo.reader, demo.report),
            )
    except Terminated:
        raise
    except KeyboardInterrupt:
        return False
    return True


def _title(demo: Demo) -> str:
    system, folder = demo.system, demo.system.settings.data_dir
    where = f"The demo runs on {folder}"
    program = "millrace" if shutil.which("millrace") else shown(Path(sys.argv[0]).absolute())
    command = f"{shlex.quote(program)} --data-dir {shlex.quote(shown(folder))}"
    return "\n".join(
        (
            f"{where}{addresses(system)}",
            f"{demo.brokers.addresses()}; from another shell, look into it and send events of your own:",
            f'  {command} query "{A_QUERY}"',
            f"  {command} produce {ORDERS_TOPIC} --count 5",
            f"who hears of presses that stop: {shown(folder / RECEIVED)}, and MQTT topic {TOPIC}",
        )
    )


def _freshness_line(reader: FreshnessReader, report: Path) -> RenderableType:
    if not reader.sights:
        return Text("warming up: the first events make every model once, which takes a few seconds", "dim")
    line = Text.assemble(("freshness  ", "bold"))
    for stream in reader.streams:
        recent = sorted(
            age for sight in reader.sights[-20:] if sight.stream == stream.name for age in sight.ages_s
        )
        half = percentile(recent, 0.5)
        line.append(f"{stream.name} {'-' if half is None else f'{half:.1f} s'}   ")
    with suppress(OSError, ValueError):
        report_now = json.loads(report.read_text())
        sent = ", ".join(
            f"{report_now['sent'][stream.name]:,} over {stream.broker}" for stream in reader.streams
        )
        line.append(f"plant: {sent}; {report_now['faults']} faults", style="dim")
    return line


_WHAT_NOW = (
    "\nWhat now: 'millrace new DIR' makes a project of your own; name your broker in its .env, then "
    "'millrace add NAME --from kafka:TOPIC' (or mqtt:FILTER, http:ADDRESS) brings its first stream."
)


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
        f"alerts found: {summary.alerts} (the simulated plant makes faults on purpose)",
        f"slowest hop: {summary.slowest_hop or 'none'} (medians: {hops or 'none'})",
    ]
    return Group(Text(), counts, Text(), *(Text(line) for line in lines), *_verdict(summary), Text(_WHAT_NOW))


def _verdict(summary: Summary) -> list[Text]:
    if summary.problems:
        return [Text("Not good:", "red"), *(Text(f"  {problem}", "red") for problem in summary.problems)]
    *brokers, last = (delivery.broker for delivery in summary.deliveries)
    sent = f"{', '.join(brokers)} and {last}"
    return [Text(f"Good: every event sent over {sent} reached the marts, and every check passed.", "green")]


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
