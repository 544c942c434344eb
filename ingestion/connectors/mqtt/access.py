"""How the MQTT broker is reached."""

from typing import Literal

from pydantic import Field, SecretStr

from ingestion.connectors.port import Access
from ingestion.settings import ProjectPath


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

    @property
    def address(self) -> str:
        """host:port."""
        return f"{self.host}:{self.port}"

    @property
    def is_version_5(self) -> bool:
        """Whether MQTT 5 is spoken."""
        return self.protocol == "5"
