"""The demo: the whole system on embedded brokers, with the simulated plant and the judgement at the end.

What `millrace up` runs is in orchestration/system; showing the demo is cli/demo.py's.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from ingestion.errors import ConfigError
from ingestion.lake.lake import Lake
from ingestion.settings import Settings
from orchestration.demo.brokers import DemoBrokers
from orchestration.demo.freshness import FreshnessReader
from orchestration.demo.guests import Guest
from orchestration.demo.machines import MACHINES
from orchestration.demo.reactions import declare_reactions
from orchestration.demo.streams import PLANT, PLANT_NAMES
from orchestration.demo.summary import Summary, deliveries, summarise
from orchestration.records.reader import DagsterRecords
from orchestration.services.process import ChildProcess, ProcessSpec
from orchestration.system.running import System
from orchestration.system.services import choose_page_port, choose_ui_port, log_folder

_DRAIN_SECONDS = 90.0
_PLANT_STOP_SECONDS = 40
_ACTIVE_RUNS = ("QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING")


class Demo:
    """A demo that can be started, judged and stopped. The caller holds the folder's lock.

    Args:
        data_dir: A wiped folder.
        project: The plant's project.
        rate: Readings a second of each machine.
        ui: Whether the web UI is started; on a free port if the configured one is taken.
        progress: Called with a few words before each step of the start.
        guests: Brokers beside Kafka, MQTT and HTTP; the project declares their streams.

    Attributes:
        brokers: Its brokers.
        system: The running system.
        reader: The independent reader; it reads between `start` and `drain`.
        report: The file in which the plant counts what it has sent.

    Raises:
        ConfigError: The streams that the plant sends to are not declared.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        project: Path,
        rate: float,
        ui: bool,
        progress: Callable[[str], None],
        guests: Sequence[Guest] = (),
    ) -> None:
        self.brokers = brokers = DemoBrokers(data_dir, project, guests)
        settings = brokers.settings()
        self.report = data_dir / "plant.json"
        declare_reactions(data_dir)
        self.system = System(
            _with_free_ports(settings) if ui else settings,
            mode="demo",
            ui=ui,
            progress=progress,
            brokers=brokers.services(),
            runtime=brokers.runtime(),
            senders=[_plant(settings, brokers, report=self.report, rate=rate)],
        )
        missing = PLANT_NAMES - {stream.name for stream in self.system.streams}
        if missing:
            raise ConfigError(
                f"the demo's plant sends to {', '.join(sorted(missing))}, which {settings.streams_file} no "
                "longer declares: put it back, or name the original file in MILLRACE_STREAMS_FILE"
            )
        self._streams = (*PLANT, *(guest.stream for guest in guests))
        self._began = datetime.now(UTC)
        self._reader: FreshnessReader | None = None

    @property
    def reader(self) -> FreshnessReader:
        """The independent reader of a demo that was started."""
        if self._reader is None:
            raise RuntimeError("the demo has not been started")
        return self._reader

    def start(self) -> None:
        """Start everything, the plant last, and begin to read the marts.

        Raises:
            MillraceError: As System.start does.
            ServiceError: A process did not come up.
        """
        self.system.start()
        self._reader = FreshnessReader(self.system.settings, self._streams)
        self._reader.start()

    def drain(self) -> None:
        """Wait until what the stopped plant has sent is in the marts and checked, for a bounded time."""
        sent = json.loads(self.report.read_text())
        lake, records = Lake(self.system.settings, read_only=True), DagsterRecords(self.system.settings)
        try:
            self._supervise(lambda: all(each.complete for each in deliveries(lake, sent, self.reader)))
            # The run that brought the last events has checks to finish.
            self._supervise(lambda: all(run.status not in _ACTIVE_RUNS for run in records.runs(limit=5)))
        finally:
            lake.close()
            records.close()
        self.reader.stop()

    def judge(self) -> Summary:
        """Count what was sent and what arrived, and name every process that is down."""
        sent = json.loads(self.report.read_text())
        lake, records = Lake(self.system.settings, read_only=True), DagsterRecords(self.system.settings)
        try:
            summary = summarise(lake, records, report=sent, reader=self.reader, since=self._began)
        finally:
            lake.close()
            records.close()
        down = [row.name for row in self.system.check(time.monotonic()) if not row.running]
        return replace(
            summary, problems=(*summary.problems, *(f"{name} is down: look into its log" for name in down))
        )

    def stop(self) -> None:
        """Stop everything; a demo that did not start, too."""
        if self._reader is not None:
            self._reader.stop()
        self.system.stop()

    def _supervise(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _DRAIN_SECONDS
        while not done() and time.monotonic() < deadline:
            self.system.check(time.monotonic())
            time.sleep(0.5)


def _with_free_ports(settings: Settings) -> Settings:
    """A demo needs no configuration, so it does not stop because of a port that is in use."""
    taken = {}
    for setting, choose in (("ui_port", choose_ui_port), ("page_port", choose_page_port)):
        try:
            choose(settings)
        except ConfigError:
            taken[setting] = 0
    return settings.model_copy(update=taken)


def _plant(settings: Settings, brokers: DemoBrokers, *, report: Path, rate: float) -> ChildProcess:
    argv = (
        sys.executable, "-P", "-m", "orchestration.demo.plant",
        "--machines", str(settings.dbt_folder / MACHINES),
        "--report", str(report), "--rate", str(rate),
        "--mqtt-port", str(brokers.mqtt.port), "--kafka-servers", brokers.kafka.bootstrap_servers,
        "--http-port", str(brokers.http_port), "--token-file", str(brokers.token_file()),
        *(part for each in brokers.guests for part in ("--guest", f"{each.guest.kind}:{each.port}")),
    )  # fmt: skip
    return ChildProcess(
        ProcessSpec(
            "plant",
            argv,
            log_folder(settings),
            ready=report.exists,
            stop_timeout_s=_PLANT_STOP_SECONDS,
        )
    )
