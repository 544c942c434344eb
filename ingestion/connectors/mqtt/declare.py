"""What streams.yml says of a stream that is collected from MQTT."""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from ingestion.connectors.port import SourceSpec


def _topic_filter(value: str) -> str:
    levels = value.split("/")
    whole = all(level in ("+", "#") or not set(level) & {"+", "#"} for level in levels)
    if not value or "\0" in value or not whole or "#" in levels[:-1]:
        raise ValueError(
            f"'{value}' is not an MQTT topic filter; + stands for one level, # for all at the end"
        )
    return value


class MqttSource(SourceSpec):
    """A topic filter on the configured MQTT broker.

    Attributes:
        mqtt: Topic filter, with + and #.
        qos: 0 or 1. At 2 the client library acknowledges before the event could be stored.
    """

    kind: ClassVar[str] = "mqtt"

    mqtt: Annotated[str, AfterValidator(_topic_filter)]
    qos: Annotated[int, Field(ge=0, le=1)] = 1
    start: Literal["earliest"] = "earliest"

    @property
    def origin(self) -> str:
        """The filter."""
        return f"MQTT {self.mqtt}"
