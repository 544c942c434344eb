"""Stream → the log it is read from. The only place that knows every kind of source."""

from ingestion.settings import Settings
from ingestion.sources.base import Log
from ingestion.streams import Stream


def open_log(stream: Stream, settings: Settings, *, timeout_seconds: float | None = None) -> Log:
    """Open a stream's log; nothing is contacted before the first call.

    Args:
        stream: A declared stream.
        settings: Addresses, credentials and folders.
        timeout_seconds: Bound of each call; settings.source_timeout_seconds unless told.
    """
    if stream.kind == "kafka":
        from ingestion.sources.kafka import KafkaLog

        return KafkaLog(stream, settings, timeout_seconds=timeout_seconds)
    from ingestion.sources.mqtt import MqttLog

    return MqttLog(stream, settings.data_dir / "spool")
