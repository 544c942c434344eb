"""The demo's embedded brokers, where it receives HTTP and alerts, and the settings of all its processes."""

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from kafka.errors import KafkaError

from ingestion.collect.status import state_folder
from ingestion.connectors.http.connector import HTTP
from ingestion.settings import Settings, load_settings
from orchestration.demo.guests import Guest, GuestBroker
from orchestration.demo.reactions import RECEIVED, RECEIVER_URL
from orchestration.demo.receiver import AlertReceiver
from orchestration.demo.senders import create_orders_topic
from orchestration.demo.streams import INSPECTIONS
from orchestration.services.kafka import EmbeddedKafka
from orchestration.services.mqtt import EmbeddedMqtt
from orchestration.services.process import Service, ServiceError, free_port

# A developer's .env may name these; no process of a demo may log in anywhere.
_UNSET = (
    "lake_path", "kafka_username", "kafka_password", "kafka_ssl_ca_file", "mqtt_username",
    "mqtt_password", "mqtt_ca_file", "http_allowed_hosts", "http_tls_cert_file", "http_tls_key_file",
    "http_proxy", "http_secrets", "http_read_token", "kinesis_profile", "rabbitmq_username",
    "rabbitmq_password", "rabbitmq_vhost", "rabbitmq_tls", "rabbitmq_ca_file",
)  # fmt: skip


class OrdersKafka(EmbeddedKafka):
    """Has the topic of orders once it is started: whoever looks before the plant sends finds it."""

    def start(self) -> None:
        """Start it, and make the topic.

        Raises:
            ServiceError: It did not come up.
        """
        if self.is_running():
            return
        super().start()
        try:
            create_orders_topic(self.bootstrap_servers)
        except KafkaError as error:
            self.stop()
            raise ServiceError(f"The embedded Kafka broker makes no topic: {error}.") from None


class DemoBrokers:
    """One broker of each kind, and the collector's address, all on free ports; nothing is started yet.

    Args:
        data_dir: The demo's data folder; logs go below it.
        project: The plant's project.
        guests: Further brokers, whose servers are installed.
    """

    def __init__(self, data_dir: Path, project: Path, guests: Sequence[Guest] = ()) -> None:
        self._data_dir, self._project = data_dir, project
        self.guests = [GuestBroker(guest, data_dir / "brokers") for guest in guests]
        self.kafka = OrdersKafka(data_dir / "brokers")
        self.mqtt = EmbeddedMqtt(data_dir / "brokers")
        self.http_port = free_port()
        self.receiver = AlertReceiver(data_dir / RECEIVED, port=free_port())

    def services(self) -> Sequence[Service]:
        """The brokers and the receiver, to be started and supervised."""
        return [self.kafka, self.mqtt, *self.guests, self.receiver]

    def runtime(self) -> dict[str, str]:
        """Settings' names → values that hold in every process of the demo, whatever .env says."""
        return dict.fromkeys(_UNSET, "") | {
            "kafka_bootstrap_servers": self.kafka.bootstrap_servers,
            "kafka_security_protocol": "PLAINTEXT",
            "mqtt_host": self.mqtt.host,
            "mqtt_port": str(self.mqtt.port),
            "mqtt_protocol": "3.1.1",
            "mqtt_tls": "false",
            "http_host": "127.0.0.1",
            "http_port": str(self.http_port),
            "http_token": self.token,  # for `millrace produce`
            RECEIVER_URL: self.receiver.url,
            "ui_preview_rows": "10",
            **{name: value for each in self.guests for name, value in each.guest.runtime(each.port).items()},
        }

    def addresses(self) -> str:
        """Where they are, in a few words."""
        places = [
            f"Kafka at {self.kafka.bootstrap_servers}",
            f"MQTT at {self.mqtt.host}:{self.mqtt.port}",
            f"HTTP at 127.0.0.1:{self.http_port}",
            *(f"{each.guest.stream.broker} at 127.0.0.1:{each.port}" for each in self.guests),
        ]
        return ", ".join(places)

    @cached_property
    def token(self) -> str:
        """What the plant's scanners show; made when it is first asked for."""
        return HTTP.tokens(state_folder(self._data_dir, HTTP)).make(INSPECTIONS.name)

    def token_file(self) -> Path:
        """A file with the token, for the plant: a command line would show it to everybody."""
        path = self._data_dir / "scanners.token"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(self.token)
        return path

    def settings(self) -> Settings:
        """The demo's settings: these brokers, and a catalog that is embedded."""
        return load_settings(
            project=self._project,
            data_dir=self._data_dir,
            catalog=None,
            dagster_catalog=None,
            **self.runtime(),
        )
