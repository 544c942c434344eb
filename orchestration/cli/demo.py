"""`millrace demo`: embedded brokers, a simulated plant and the whole system, with a judged summary for --for.

The plant is in orchestration/demo, the system in orchestration/system.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from ingestion.errors import ConfigError
from ingestion.lake.lake import Lake
from ingestion.settings import PROJECT_DIR, Settings, load_settings
from orchestration.cli.context import Globals, err, out
from orchestration.cli.live import interruptible, progress, watch
from orchestration.cli.tables import table
from orchestration.demo.folder import require_demo_folder, wipe
from orchestration.demo.freshness import MARTS, FreshnessReader
from orchestration.demo.summary import Summary, deliveries, percentile, summarise
from orchestration.records.reader import DagsterRecords
from orchestration.services.kafka import EmbeddedKafka
from orchestration.services.mqtt import EmbeddedMqtt
from orchestration.services.process import ChildProcess, ProcessSpec
from orchestration.system.data_folder import require_usable
from orchestration.system.lock import only_system
from orchestration.system.running import System
from orchestration.system.services import choose_ui_port, log_folder

_DRAIN_SECONDS = 90.0
_ACTIVE_RUNS = ("QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING")


def demo(options: Globals, *, seconds: float | None, rate: float, ui: bool) -> int:
    """Run the demo until Ctrl-C, or for a time and then judge it.

    Args:
        options: The global options.
        seconds: How long the plant sends; None for ever.
        rate: Readings a second of each machine.
        ui: Whether the web UI is started.

    Returns:
        The exit code: 1 when a judged demo is bad.
    """
    folder = options.settings().data_dir
    require_demo_folder(folder)
    require_usable(folder)
    with only_system(folder), interruptible(), suppress(KeyboardInterrupt):
        wipe(folder)
        summary = _run(folder, seconds=seconds, rate=rate, ui=ui)
        if summary is None:
            return 0
        out.print(render_summary(summary))
        return int(bool(summary.problems))
    return 0 if seconds is None else 130


def _run(folder: Path, *, seconds: float | None, rate: float, ui: bool) -> Summary | None:
    kafka, mqtt = EmbeddedKafka(folder / "brokers"), EmbeddedMqtt(folder / "brokers")
    runtime = demo_runtime(kafka, mqtt)
    settings = load_settings(data_dir=folder, catalog=None, dagster_catalog=None, **runtime)
    report = folder / "plant.json"
    system = System(
        _with_free_ui_port(settings) if ui else settings,
        mode="demo", ui=ui, progress=progress, brokers=[kafka, mqtt], runtime=runtime,
        senders=[_plant(settings, kafka, mqtt, report=report, rate=rate)],
    )  # fmt: skip
    missing = set(MARTS) - {stream.name for stream in system.streams}
    if missing:
        raise ConfigError(
            f"the demo's plant sends to {', '.join(sorted(missing))}, which {settings.streams_file} no "
            "longer declares: put it back, or name the original file in MILLRACE_STREAMS_FILE"
        )
    began = datetime.now(UTC)
    try:
        system.start()
        reader = FreshnessReader(system.settings)
        reader.start()
        try:
            deadline = None if seconds is None else time.monotonic() + seconds
            watch(
                system,
                title=_title(system),
                until=lambda: deadline is not None and time.monotonic() >= deadline,
                pause_s=1.5,
                extra=lambda: _freshness_line(reader, report),
            )
            return None if seconds is None else _judge(system, reader, report=report, began=began)
        finally:
            reader.stop()
    finally:
        out.print("stopping …")
        system.stop()


def demo_runtime(kafka: EmbeddedKafka, mqtt: EmbeddedMqtt) -> dict[str, str]:
    """What must hold in every process of the demo, whatever .env and the environment say."""
    unset = (
        "lake_path", "kafka_username", "kafka_password", "kafka_ssl_ca_file", "mqtt_username",
        "mqtt_password", "mqtt_ca_file", "alert_webhook_url",
    )  # fmt: skip
    return dict.fromkeys(unset, "") | {
        "kafka_bootstrap_servers": kafka.bootstrap_servers,
        "kafka_security_protocol": "PLAINTEXT",
        "mqtt_host": mqtt.host,
        "mqtt_port": str(mqtt.port),
        "mqtt_protocol": "3.1.1",
        "mqtt_tls": "false",
    }


def _with_free_ui_port(settings: Settings) -> Settings:
    """A demo needs no setting up, so a taken port is no reason to stop."""
    try:
        choose_ui_port(settings)
    except ConfigError:
        return settings.model_copy(update={"ui_port": 0})
    return settings


def _plant(
    settings: Settings, kafka: EmbeddedKafka, mqtt: EmbeddedMqtt, *, report: Path, rate: float
) -> ChildProcess:
    seed = PROJECT_DIR / "dbt_project" / "seeds" / "machines.csv"
    argv = (
        sys.executable, "-m", "orchestration.demo.plant", "--machines", str(seed), "--report", str(report),
        "--mqtt-port", str(mqtt.port), "--kafka", kafka.bootstrap_servers, "--rate", str(rate),
    )  # fmt: skip
    return ChildProcess(
        ProcessSpec(
            "plant", argv, log_folder(settings), ready=report.exists, cwd=PROJECT_DIR, stop_timeout_s=40
        )
    )


def _title(system: System) -> str:
    where = f"The demo runs on {system.settings.data_dir}"
    return f"{where}; {system.ui_url} is the web UI" if system.ui_url else where


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


def _judge(system: System, reader: FreshnessReader, *, report: Path, began: datetime) -> Summary:
    """Stop the plant, let what is under way arrive, then count."""
    progress("the plant stops; what is under way arrives")
    system.stop_senders()
    sent = json.loads(report.read_text())
    lake, records = Lake(system.settings, read_only=True), DagsterRecords(system.settings)
    try:
        _supervised(system, lambda: all(delivery.complete for delivery in deliveries(lake, sent, reader)))
        # The run that brought the last events has checks to finish.
        _supervised(system, lambda: all(run.status not in _ACTIVE_RUNS for run in records.runs(limit=5)))
        reader.stop()
        summary = summarise(lake, records, report=sent, reader=reader, since=began)
    finally:
        lake.close()
        records.close()
    down = [row.name for row in system.check(time.monotonic()) if not row.running]
    return replace(
        summary, problems=(*summary.problems, *(f"{name} is down: look into its log" for name in down))
    )


def _supervised(system: System, done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _DRAIN_SECONDS
    with err.status("waiting for the last events …"):
        while not done() and time.monotonic() < deadline:
            system.check(time.monotonic())
            time.sleep(0.5)


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
