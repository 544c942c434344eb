"""An emulator of AWS, in memory: what it holds is gone when it ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from orchestration.services.process import accepts_tcp, wait_until
from tests.servers.ports import free_ports

REGION = "eu-central-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "emulated", "AWS_SECRET_ACCESS_KEY": "emulated"}


class Moto:
    """A process that answers as AWS would, mostly; docs/sources/kinesis.md says where it differs.

    Args:
        folder: For its log.

    Attributes:
        port: Where it listens; the same after a restart.
    """

    def __init__(self, folder: Path) -> None:
        (self.port,) = free_ports(1)
        self._log = folder / "moto.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its endpoint."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it; returns once it answers."""
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)],
                stdout=log, stderr=log,
            )  # fmt: skip
        assert wait_until(lambda: accepts_tcp(self.port), timeout_s=120), self._log.read_text()

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def pid(self) -> int:
        """Its process, to be frozen; it runs."""
        assert self._process is not None
        return self._process.pid

    def client(self, service: str = "kinesis", **options: Any) -> Any:
        """A client of its own for a test, with further options of boto3."""
        import boto3

        return boto3.client(
            service, endpoint_url=self.url, region_name=REGION,
            aws_access_key_id="emulated", aws_secret_access_key="emulated", **options,
        )  # fmt: skip
