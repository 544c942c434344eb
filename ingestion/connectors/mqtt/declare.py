"""What streams.yml says of a stream that is collected from MQTT."""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from ingestion.connectors.mqtt.filters import matches, unshared
from ingestion.connectors.spec import SourceSpec, TopicPlace
from ingestion.errors import ConfigError


def _topic_filter(value: str) -> str:
    shared = value.startswith("$share/")
    if shared and unshared(value) == value:
        raise ValueError(f"'{value}' is not a shared subscription; write $share/GROUP/FILTER")
    levels = unshared(value).split("/")
    if levels[0].startswith("$") and levels[0] != "$SYS":
        raise ValueError(
            f"'{value}' begins with {levels[0]}, which brokers keep for themselves; of these only "
            "$share/GROUP/FILTER and $SYS/… can be read"
        )
    whole = all(level in ("+", "#") or not set(level) & {"+", "#"} for level in levels)
    if not unshared(value) or "\0" in value or not whole or "#" in levels[:-1]:
        raise ValueError(
            f"'{value}' is not an MQTT topic filter; + stands for one level, # for all at the end"
        )
    return value


_FILTER_SCHEMA = {
    "type": "string", "minLength": 1,
    "pattern": r"^(\$share/[^/+#]+/)?(?!\$(?!SYS(/|$)))(#|([^+#/]*|\+)(/([^+#/]*|\+))*(/#)?)$",
}  # fmt: skip


class MqttSource(SourceSpec):
    """A topic filter on the configured MQTT broker.

    Attributes:
        mqtt: Topic filter, with + and #.
        qos: 0 or 1. At 2 the client library acknowledges before the event could be stored.
    """

    kind: ClassVar[str] = "mqtt"
    topic_place = TopicPlace("event_key", "/")

    mqtt: Annotated[str, AfterValidator(_topic_filter), WithJsonSchema(_FILTER_SCHEMA)]
    qos: Annotated[int, Field(ge=0, le=1)] = 1
    start: Literal["earliest"] = "earliest"

    def destination(self, named: str = "") -> str:
        """The topic, or the chosen one where the filter matches several."""
        topic = named or self.topics
        if not named and set(topic) & {"+", "#"}:
            raise ConfigError(f"'{topic}' matches several topics: choose one with --to")
        if not matches(self.topics, topic):
            raise ConfigError(f"the stream does not read '{topic}': its topic filter is {self.topics}")
        return topic

    @property
    def topics(self) -> str:
        """The filter without the group of a shared subscription, which would take messages from others."""
        return unshared(self.mqtt)

    @property
    def is_shared(self) -> bool:
        """Whether its filter names a group."""
        return self.topics != self.mqtt

    @property
    def origin(self) -> str:
        """The filter."""
        return f"MQTT {self.mqtt}"
