"""How the Kafka cluster is reached: variables, and the options that each client makes of them."""

import re
from typing import Any, Literal

from pydantic import Field, SecretStr, model_validator

from ingestion.connectors.port import Access
from ingestion.errors import ConfigError, SourceUnavailable
from ingestion.settings import ProjectPath

_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\s:/@\[\]]+)(:\d{1,5})?")


class KafkaAccess(Access):
    """The variables MILLRACE_KAFKA_…: addresses, credentials, and which client reads."""

    bootstrap_servers: str | None = None
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    username: str | None = None
    password: SecretStr | None = None
    ssl_ca_file: ProjectPath | None = None
    client_id: str = "millrace"
    client: Literal["auto", "kafka-python", "librdkafka"] = Field(
        default="auto", description="auto: librdkafka where confluent-kafka is installed"
    )

    @model_validator(mode="after")
    def _credentials_are_whole(self) -> "KafkaAccess":
        if self.uses_sasl and not (self.username and self.password):
            raise ValueError("MILLRACE_KAFKA_USERNAME and MILLRACE_KAFKA_PASSWORD are needed for SASL")
        return self

    @property
    def uses_sasl(self) -> bool:
        """Whether the client logs in."""
        return self.security_protocol.startswith("SASL")

    @property
    def servers(self) -> list[str]:
        """The bootstrap servers, host:port each."""
        return [part.strip() for part in (self.bootstrap_servers or "").split(",") if part.strip()]

    @property
    def namespace(self) -> str:
        """As in kafka://broker:9092: the first of several brokers stands for their cluster."""
        first = self.servers[0] if self.servers else ""
        return f"kafka://{first}" if _ADDRESS.fullmatch(first) else ""


def connection_options(access: KafkaAccess, *, timeout_seconds: float) -> dict[str, Any]:
    """kafka-python's options for reaching the configured cluster.

    Args:
        access: Addresses and credentials.
        timeout_seconds: For the first contact and for each request.

    Raises:
        SourceUnavailable: No cluster is configured.
        ConfigError: What is configured is not an address.
    """
    if not access.servers:
        raise SourceUnavailable(
            "no Kafka cluster is configured: set MILLRACE_KAFKA_BOOTSTRAP_SERVERS, or try 'millrace demo'"
        )
    if not all(map(_ADDRESS.fullmatch, access.servers)):
        # Its text may hold a password by mistake, so it is not shown.
        raise ConfigError(
            "MILLRACE_KAFKA_BOOTSTRAP_SERVERS is not an address: write host:port, with commas between several"
        )
    options: dict[str, Any] = {
        "bootstrap_servers": access.servers,
        "client_id": access.client_id,
        "security_protocol": access.security_protocol,
        "bootstrap_timeout_ms": int(timeout_seconds * 1000),
        "request_timeout_ms": max(1000, int(timeout_seconds * 1000)),
    }
    if access.ssl_ca_file is not None:
        options["ssl_cafile"] = str(access.ssl_ca_file)
    if access.uses_sasl and access.password is not None:
        options |= {
            "sasl_mechanism": access.sasl_mechanism,
            "sasl_plain_username": access.username,
            "sasl_plain_password": access.password.get_secret_value(),
        }
    return options


def librdkafka_options(access: KafkaAccess) -> dict[str, str]:
    """librdkafka's names for how to reach the configured cluster.

    Args:
        access: Addresses and credentials.
    """
    options = {
        "bootstrap.servers": access.bootstrap_servers or "",
        "client.id": access.client_id,
        "security.protocol": access.security_protocol,
    }
    if access.ssl_ca_file is not None:
        options["ssl.ca.location"] = str(access.ssl_ca_file)
    if access.uses_sasl and access.password is not None:
        options |= {
            "sasl.mechanism": access.sasl_mechanism,
            "sasl.username": access.username or "",
            "sasl.password": access.password.get_secret_value(),
        }
    return options
