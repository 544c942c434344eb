"""The demo's embedded brokers, and the settings that point every process of the demo at them."""

from collections.abc import Sequence
from pathlib import Path

from ingestion.settings import Settings, load_settings
from orchestration.services.kafka import EmbeddedKafka
from orchestration.services.mqtt import EmbeddedMqtt
from orchestration.services.process import Service

# A developer's .env may name these; no process of a demo may log in anywhere.
_UNSET = (
    "lake_path", "kafka_username", "kafka_password", "kafka_ssl_ca_file", "mqtt_username",
    "mqtt_password", "mqtt_ca_file",
)  # fmt: skip


class DemoBrokers:
    """One broker of each kind, on free ports; nothing is started yet.

    Args:
        data_dir: The demo's data folder; logs go below it.
        project: The plant's project.
    """

    def __init__(self, data_dir: Path, project: Path) -> None:
        self._data_dir, self._project = data_dir, project
        self.kafka = EmbeddedKafka(data_dir / "brokers")
        self.mqtt = EmbeddedMqtt(data_dir / "brokers")

    def services(self) -> Sequence[Service]:
        """The brokers, to be started and supervised."""
        return [self.kafka, self.mqtt]

    def runtime(self) -> dict[str, str]:
        """Settings' names → values that hold in every process of the demo, whatever .env says."""
        return dict.fromkeys(_UNSET, "") | {
            "kafka_bootstrap_servers": self.kafka.bootstrap_servers,
            "kafka_security_protocol": "PLAINTEXT",
            "mqtt_host": self.mqtt.host,
            "mqtt_port": str(self.mqtt.port),
            "mqtt_protocol": "3.1.1",
            "mqtt_tls": "false",
            "ui_preview_rows": "10",
        }

    def addresses(self) -> str:
        """Where they are, in a few words."""
        return f"Kafka at {self.kafka.bootstrap_servers}, MQTT at {self.mqtt.host}:{self.mqtt.port}"

    def settings(self) -> Settings:
        """The demo's settings: these brokers, and a catalog that is embedded."""
        return load_settings(
            project=self._project,
            data_dir=self._data_dir,
            catalog=None,
            dagster_catalog=None,
            **self.runtime(),
        )
