"""The drill's system: everything of `millrace up` on embedded brokers, and the drill's own sender."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from orchestration.demo.brokers import DemoBrokers
from orchestration.demo.drill_alert import Surfaces
from orchestration.demo.drill_sender import DrillSender
from orchestration.demo.drill_steps import Stage
from orchestration.demo.machines import MACHINES
from orchestration.demo.reactions import declare_reactions
from orchestration.system.running import System


def drill_system(data_dir: Path, *, project: Path, progress: Callable[[str], None]) -> tuple[System, Stage]:
    """A system for the drill, and what the drill may break in it; nothing is started yet.

    Args:
        data_dir: A wiped folder.
        project: The plant's project.
        progress: Called with a few words before each step of the start.
    """
    brokers = DemoBrokers(data_dir, project)
    declare_reactions(data_dir)
    # A halted broker that was ended and started again would have forgotten its topic: it is only said.
    settings = brokers.settings().replaced(
        alert_webhook_url=None, restart_stuck=False, ui_port=0, page_port=0
    )
    sender = DrillSender(
        settings.dbt_folder / MACHINES,
        mqtt_port=brokers.mqtt.port,
        kafka_servers=brokers.kafka.bootstrap_servers,
        http_port=brokers.http_port,
        token=brokers.token,
    )
    system = System(
        settings,
        mode="demo",
        ui=True,
        progress=progress,
        brokers=brokers.services(),
        runtime=brokers.runtime()
        | {"alert_webhook_url": ""},  # it breaks things on purpose: page nobody else
        senders=[sender],
    )

    def pids() -> Mapping[str, int | None]:
        return {row.name: row.pid for row in system.check(time.monotonic())}

    surfaces = Surfaces(system.page_url, brokers.receiver.log, mqtt_port=brokers.mqtt.port)
    return system, Stage(data_dir, sender, surfaces, pids)
