"""Sparkplug B from MQTT: a message is an event with an array of metrics, named and typed by births.

What births said is kept from batch to batch; no name is guessed: docs/formats/sparkplug.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

import pyarrow as pa

from ingestion.formats.likeness import CERTAIN, Likeness, Sample, likeness
from ingestion.formats.port import Completeness, FormatOptions, Refusal, Request, Surroundings, Texts
from ingestion.formats.sparkplug.births import Births
from ingestion.formats.sparkplug.command import rebirth
from ingestion.formats.sparkplug.message import NotSparkplug, read_message
from ingestion.formats.sparkplug.topics import Topic, command_topic, read_topic
from ingestion.formats.sparkplug.values import TooLarge
from ingestion.formats.unpack import UNPACKS_TOO_LARGE

NOT_SPARKPLUG = "not_sparkplug"
_DATA = frozenset({"NDATA", "DDATA"})


class SparkplugOptions(FormatOptions):
    """What a stream of Sparkplug B may declare.

    Attributes:
        rebirth: An edge node whose metrics no birth names is asked for its births, by a command that is
            published to it; at most once a minute.
    """

    rebirth: bool = False

    @property
    def completeness(self) -> Completeness:
        """By what the standard has in every message."""
        remedy = (
            "'millrace rebirth <stream> <group>/<node>' asks its edge node for the births ('format: "
            "{sparkplug: {rebirth: true}}' in streams.yml does so by itself), and "
            "'millrace replay <stream> --from-raw' names what follows a birth that landed late"
        )
        if self.rebirth:
            remedy = (
                "its edge node has been asked for the births and has not sent them: see that the login of "
                "MILLRACE_MQTT_USERNAME may publish to spBv1.0/<group>/NCMD/<node>, and that the node takes "
                "'Node Control/Rebirth'"
            )
        return Completeness(
            "unresolved", "metrics that no birth names", ("group", "node", "bd_seq"), "seq", 255,
            "type", "NBIRTH", remedy,
        )  # fmt: skip


@dataclass(frozen=True)
class SparkplugFormat:
    """`{"type": "DDATA", "group": …, "node": …, "device": …, "seq": …, "metrics": [{"name": …}]}`."""

    name: str = "sparkplug"
    options: type[FormatOptions] = SparkplugOptions
    reasons: frozenset[str] = frozenset({NOT_SPARKPLUG})
    keeps_bytes: bool = True
    keeps_state: bool = True
    libraries: tuple[str, ...] = ("google.protobuf",)
    extra: str = "protobuf"

    def texts(self, events: pa.Table, options: FormatOptions, around: Surroundings) -> Texts:
        """Decode the events of each partition in order."""
        reading = _Reading(around, asks=cast(SparkplugOptions, options).rebirth)
        columns = (
            events[name].to_pylist() for name in ("source_partition", "event_key", "value", "event_time")
        )
        payload = [reading.text(row, *event) for row, event in enumerate(zip(*columns, strict=True))]
        changed = {name: births.text for name, births in reading.births.items() if births.changed}
        return Texts(
            pa.array(payload, pa.binary()).cast(pa.string()),
            reading.refused,
            states=changed,
            requests=tuple(reading.requests),
        )

    def birth_request(self, sender: str, at_ms: int) -> Request:
        """The command that asks an edge node, written `group/node`, for its births."""
        group, _, node = sender.partition("/")
        topic = read_topic(command_topic(group, node))
        if topic is None or topic.node != node or set(sender) & set("+#\0"):
            raise ValueError(f"'{sender}' is not an edge node: write group/node, as in plant/press-1")
        return Request(command_topic(group, node), rebirth(at_ms))

    def recognise(self, samples: Sequence[Sample]) -> Likeness | None:
        """Whether they are payloads whose topics are Sparkplug's."""
        found = sum(_is_own(each) for each in samples)
        return likeness(CERTAIN, found, samples, "topics of Sparkplug B (spBv1.0/…) and its payloads")


@dataclass
class _Reading:
    """Events that are read one after the other."""

    around: Surroundings
    asks: bool
    births: dict[str, Births] = field(default_factory=dict)
    refused: dict[int, Refusal] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)

    def text(
        self, row: int, partition: str, key: bytes | None, value: bytes | None, at: datetime | None
    ) -> bytes | None:
        """The JSON text of an event; None where it is refused, or null."""
        if partition not in self.births:
            self.births[partition] = Births(self.around.states.get(partition, ""))
        births, topic = self.births[partition], _topic(key)
        if value is None or topic is None:
            if value is not None:
                said = (key or b"").decode("utf-8", "replace")[:80]
                self.refused[row] = Refusal(
                    NOT_SPARKPLUG, f"'{said}' is not a topic of Sparkplug B, spBv1.0/…"
                )
            elif topic is not None and topic.type.endswith("BIRTH"):
                births.lose(topic)
            return None
        most = self.around.max_bytes
        try:
            text, unresolved = read_message(topic, value, births, max_bytes=most)
        except (NotSparkplug, TooLarge) as error:
            reason = NOT_SPARKPLUG if isinstance(error, NotSparkplug) else UNPACKS_TOO_LARGE
            detail = str(error) or f"its JSON text is longer than {most} bytes, which is the limit"
            self.refused[row] = Refusal(reason, detail)
            if topic.type.endswith("BIRTH"):
                births.lose(topic)
            return None
        if self.asks and unresolved and topic.type in _DATA:
            self._ask(births, topic, at)
        return text

    def _ask(self, births: Births, topic: Topic, at: datetime | None) -> None:
        at_us = int(at.timestamp() * 1_000_000) if at else 0
        if births.ask(topic, at_us):
            destination = command_topic(topic.group or "", topic.node or "")
            self.requests.append(Request(destination, rebirth(max(at_us // 1000, 0))))


def _topic(key: bytes | None) -> Topic | None:
    try:
        return read_topic((key or b"").decode())
    except UnicodeDecodeError:
        return None


def _is_own(sample: Sample) -> bool:
    topic = _topic(sample.key)
    if topic is None:
        return False
    try:
        read_message(topic, sample.value, Births(), max_bytes=1 << 30)
    except (NotSparkplug, TooLarge):
        return False
    return True


SPARKPLUG = SparkplugFormat()
