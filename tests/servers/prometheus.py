"""A Prometheus (Debian package) on 127.0.0.1 that scrapes one exporter, with its promtool."""

from __future__ import annotations

import json
import shutil
import urllib.parse
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from orchestration.services.process import ChildProcess, ProcessSpec
from tests.servers import ServerMissing
from tests.servers.ports import free_ports


def promtool() -> str:
    """The program.

    Raises:
        ServerMissing: It is not installed.
    """
    found = shutil.which("promtool")
    if found is None:
        raise ServerMissing("prometheus is not installed: apt-get install prometheus")
    return found


class Prometheus:
    """A context that scrapes every second.

    Args:
        folder: For its configuration and data.
        target: Port of the exporter.
        rules: A file of rules.

    Raises:
        ServerMissing: It is not installed.
    """

    def __init__(self, folder: Path, *, target: int, rules: Path) -> None:
        promtool()
        folder.mkdir(parents=True)
        (self._port,) = free_ports(1)
        configuration = {
            # A scrape takes five seconds where a database hangs, and longer on a busy machine.
            "global": {"scrape_interval": "8s", "scrape_timeout": "8s", "evaluation_interval": "1s"},
            "rule_files": [str(rules)],
            "scrape_configs": [
                {
                    "job_name": "millrace",
                    "static_configs": [{"targets": [f"127.0.0.1:{target}"]}],
                }
            ],
        }
        file = folder / "prometheus.yml"
        file.write_text(yaml.safe_dump(configuration))
        self._child = ChildProcess(
            ProcessSpec(
                name="prometheus",
                argv=(
                    str(shutil.which("prometheus")), f"--config.file={file}",
                    f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{self._port}",
                ),
                log_folder=folder / "log",
                ready=self._is_ready,
                ready_timeout_s=60,
            )
        )  # fmt: skip

    def __enter__(self) -> Prometheus:
        self._child.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._child.stop()

    def _is_ready(self) -> bool:
        """Whether it answers queries: its port is open seconds before."""
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self._port}/-/ready", timeout=5):
            return True
        return False

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The result of an instant query."""
        found: list[dict[str, Any]] = self._get("query", query=expression)["result"]
        return found

    def last_error(self) -> str:
        """Why the newest scrape failed; empty when it did not."""
        (target,) = self._get("targets", state="active")["activeTargets"]
        return str(target["lastError"])

    def firing(self) -> set[str]:
        """The alerts that fire."""
        return {
            each["labels"]["alertname"] for each in self._get("alerts")["alerts"] if each["state"] == "firing"
        }

    def _get(self, what: str, **parameters: str) -> Any:
        address = f"http://127.0.0.1:{self._port}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(address, timeout=30) as answer:
            return json.load(answer)["data"]
