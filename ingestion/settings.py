"""Environment and .env → one frozen, typed Settings object. Nothing else reads the environment.

What is a property of a stream belongs into streams.yml. Every variable is listed in .env.example.
"""

import fcntl
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ingestion.errors import ConfigError

# dlt reads it before any setting of ours reaches it, and would call home from a plain `millrace ingest`.
os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"

PROJECT_DIR = Path(__file__).resolve().parent.parent
RUNTIME_FILE = "runtime.env"
SYSTEM_LOCK = "system.lock"
DEMO_MARKER = "demo"

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


class Settings(BaseSettings):
    """Where things are and how to reach them.

    Relative paths are taken from the project's root, so that every command means the same folder
    wherever it is started.
    """

    model_config = SettingsConfigDict(
        env_prefix="MILLRACE_", env_file=PROJECT_DIR / ".env", frozen=True, extra="ignore"
    )

    data_dir: Path = Path(".millrace")
    streams_file: Path = Path("ingestion/streams.yml")
    catalog: SecretStr | None = Field(default=None, description="postgresql:// URL; empty: embedded")
    lake_path: str | None = Field(default=None, description="folder, s3:// or abfss://; empty: data_dir/lake")
    dagster_catalog: SecretStr | None = Field(
        default=None, description="postgresql:// URL of Dagster's storage; empty: beside the catalog"
    )

    kafka_bootstrap_servers: str | None = None
    kafka_security_protocol: SecurityProtocol = "PLAINTEXT"
    kafka_sasl_mechanism: SaslMechanism = "PLAIN"
    kafka_username: str | None = None
    kafka_password: SecretStr | None = None
    kafka_ssl_ca_file: Path | None = None
    kafka_client_id: str = "millrace"
    kafka_client: Literal["auto", "kafka-python", "librdkafka"] = Field(
        default="auto", description="auto: librdkafka where confluent-kafka is installed"
    )

    mqtt_host: str | None = None
    mqtt_port: int = Field(default=1883, ge=1, le=65535)
    mqtt_protocol: Literal["3.1.1", "5"] = "3.1.1"
    mqtt_username: str | None = None
    mqtt_password: SecretStr | None = None
    mqtt_tls: bool = False
    mqtt_ca_file: Path | None = None
    mqtt_client_id: str = "millrace-collector"

    batch_max_events: int = Field(default=200_000, ge=1, description="per stream and batch")
    batch_max_bytes: int = Field(default=256 * 2**20, ge=2**20, description="payload bytes per batch")
    batch_max_seconds: float = Field(default=20.0, gt=0, description="reading time per batch")
    payload_max_bytes: int = Field(default=16 * 2**20, ge=1, description="larger ones are rejected")
    source_timeout_seconds: float = Field(default=20.0, gt=0)

    ui_host: str = "127.0.0.1"
    ui_port: int = Field(default=3000, ge=0, le=65535)
    alert_webhook_url: SecretStr | None = None

    @field_validator("data_dir", "streams_file", "kafka_ssl_ca_file", "mqtt_ca_file")
    @classmethod
    def _from_project_root(cls, value: Path | None) -> Path | None:
        return None if value is None else (PROJECT_DIR / value.expanduser()).resolve()

    @field_validator("*", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return None if value == "" else value

    @model_validator(mode="after")
    def _credentials_are_whole(self) -> "Settings":
        if self.kafka_security_protocol.startswith("SASL") and not (
            self.kafka_username and self.kafka_password
        ):
            raise ValueError("MILLRACE_KAFKA_USERNAME and MILLRACE_KAFKA_PASSWORD are needed for SASL")
        return self

    @property
    def resolved_lake_path(self) -> str:
        """The lake's data path: a bucket URL as given, a folder as an absolute path with a slash."""
        if self.lake_path and "://" in self.lake_path:
            return self.lake_path.rstrip("/") + "/"
        folder = (PROJECT_DIR / self.lake_path).resolve() if self.lake_path else self.data_dir / "lake"
        return f"{folder}/"


class _Location(BaseSettings):
    """Just the data folder, which is known first: its runtime.env tells the rest."""

    model_config = SettingsConfigDict(env_prefix="MILLRACE_", extra="ignore")

    data_dir: Path = Path(".millrace")


def load_settings(**overrides: object) -> Settings:
    """Read the settings once, at the edge of a process.

    Arguments win over the environment, that over .env, that over <data_dir>/runtime.env, where a
    running system tells the addresses of what it has started. A demo's folder never speaks to the
    services of .env: there runtime.env wins. MILLRACE_ENV_FILE names another file than .env.

    Args:
        **overrides: Field values.

    Raises:
        ConfigError: With the variable's name, never its value.
    """
    env_file = PROJECT_DIR / os.environ.get("MILLRACE_ENV_FILE", ".env")
    try:
        location = _Location(_env_file=env_file, **_only(overrides, "data_dir"))  # type: ignore[arg-type, call-arg]
        folder = (PROJECT_DIR / location.data_dir.expanduser()).resolve()
        files = [env_file]
        if system_is_running(folder):
            files.insert(1 if (folder / DEMO_MARKER).exists() else 0, folder / RUNTIME_FILE)
        return Settings(_env_file=tuple(files), **overrides)  # type: ignore[arg-type, call-arg]
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = "".join(f"MILLRACE_{str(part).upper()}" for part in first["loc"][:1])
        where = f"{name} in the environment or .env" if name else "the environment or .env"
        message = str(first["msg"]).removeprefix("Value error, ")
        raise ConfigError(f"{where} is wrong: {message}; .env.example shows every variable") from None


def _only(values: Mapping[str, object], *names: str) -> dict[str, object]:
    return {name: values[name] for name in names if name in values}


def system_is_running(data_dir: Path) -> bool:
    """Whether a `millrace up` or `demo` lives on this folder: it holds the lock, which dies with it."""
    try:
        descriptor = os.open(data_dir / SYSTEM_LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The environment for a child process: ours, and what it is told besides."""
    return {**os.environ, **extra}
