"""How the MQTT broker is reached."""

import re
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator

from ingestion.connectors.port import Access
from ingestion.settings import ProjectPath

_NAME = re.compile(r"[a-z][a-z0-9_]*")


class MqttAccess(Access):
    """The variables MILLRACE_MQTT_…: address, protocol and credentials."""

    host: str | None = None
    port: int = Field(default=1883, ge=1, le=65535)
    protocol: Literal["3.1.1", "5"] = "3.1.1"
    username: str | None = None
    password: SecretStr | None = None
    tls: bool = False
    ca_file: ProjectPath | None = None
    client_id: str = "millrace-collector"
    max_inflight: int = Field(default=4096, ge=1, le=65535)
    collectors: int = Field(default=1, ge=1, le=64)
    further_collectors: str = ""

    @field_validator("further_collectors")
    @classmethod
    def _names_folders(cls, value: str) -> str:
        pairs = [each.partition("=") for each in value.split(",") if each.strip()]
        names = [name.strip() for name, _, _ in pairs]
        for name, _, folder in pairs:
            if not _NAME.fullmatch(name.strip()) or not Path(folder.strip()).is_absolute():
                raise ValueError("write NAME=DATA_FOLDER, with commas between, as in b=/data/b, c=/data/c")
        if len(set(names)) < len(names):
            raise ValueError("each collector needs a name of its own")
        return value

    @cached_property
    def further(self) -> dict[str, Path]:
        """Name → data folder of the other collectors that share subscriptions with this one."""
        pairs = [each.partition("=") for each in self.further_collectors.split(",") if each.strip()]
        return {name.strip(): Path(folder.strip()) for name, _, folder in pairs}

    @property
    def address(self) -> str:
        """host:port."""
        return f"{self.host}:{self.port}"

    @property
    def namespace(self) -> str:
        """As in mqtt://broker:1883."""
        return f"mqtt://{self.address}" if self.host else ""

    @property
    def is_version_5(self) -> bool:
        """Whether MQTT 5 is spoken."""
        return self.protocol == "5"
