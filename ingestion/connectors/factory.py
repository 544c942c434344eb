"""Stream → the log it is read from. The only place that knows every kind of source."""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from ingestion.declare.stream import Stream
from ingestion.errors import ConfigError
from ingestion.log.port import Log
from ingestion.settings import Settings

if TYPE_CHECKING:
    from ingestion.connectors.kafka.log import KafkaLog


def open_log(stream: Stream, settings: Settings, *, timeout_seconds: float | None = None) -> Log:
    """Open a stream's log; nothing is contacted before the first call.

    Args:
        stream: A declared stream.
        settings: Addresses, credentials and folders.
        timeout_seconds: Bound of each call; settings.source_timeout_seconds unless told.
    """
    if stream.kind == "kafka":
        return _kafka_log(settings)(stream, settings, timeout_seconds=timeout_seconds)
    from ingestion.spool.log import MqttLog

    return MqttLog(stream.name, settings.data_dir / "spool")


def _kafka_log(settings: Settings) -> type["KafkaLog"]:
    """The client that MILLRACE_KAFKA_CLIENT names, or the fastest one that is installed."""
    installed = find_spec("confluent_kafka") is not None
    if settings.kafka_client == "librdkafka" and not installed:
        raise ConfigError(
            "MILLRACE_KAFKA_CLIENT=librdkafka needs the package confluent-kafka: install 'millrace[fast]', "
            "or set kafka-python"
        )
    if installed and settings.kafka_client != "kafka-python":
        from ingestion.connectors.kafka.librdkafka import FastKafkaLog

        return FastKafkaLog
    from ingestion.connectors.kafka.log import KafkaLog

    return KafkaLog
