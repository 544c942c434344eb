"""One message of Sparkplug B → its event: what the topic says, what the payload says, and what births say."""

from typing import Any

import orjson

from ingestion.formats.canonical import base64_text
from ingestion.formats.sparkplug.births import Births, Scope
from ingestion.formats.sparkplug.schema import payload_class
from ingestion.formats.sparkplug.topics import STATE, Topic
from ingestion.formats.sparkplug.values import Budget, metric_of

_SESSION = "bdSeq"
_SIZE = 220
"""Of an event without metrics, about, in bytes."""


class NotSparkplug(ValueError):
    """The bytes are not a message of their topic; says why."""


def read_message(topic: Topic, value: bytes, births: Births, *, max_bytes: int) -> tuple[bytes, int]:
    """Read a message, and take in what it says to those after it.

    Args:
        topic: Where it was sent.
        value: Its payload.
        births: Those before it; changed by a birth or a death only if all of it can be read.
        max_bytes: What its text may hold.

    Returns:
        The event as JSON, and how many metrics have no known name or data type.

    Raises:
        NotSparkplug: It is not a message of its topic.
        TooLarge: Its text would be longer.
    """
    budget = Budget(max_bytes)
    budget.spend(_SIZE + sum(len(each or "") for each in topic))
    if topic.type == STATE:
        return _dump(_event(topic) | _state(value) | {"metrics": []}), 0
    try:
        return _read(topic, value, births, budget)
    except (ValueError, RecursionError) as error:  # a text that is not UTF-8, names that stand twice
        raise NotSparkplug(f"it cannot be said in JSON: {error}") from None


def _read(topic: Topic, value: bytes, births: Births, budget: Budget) -> tuple[bytes, int]:
    from google.protobuf.message import DecodeError

    try:
        payload = payload_class().FromString(value)
    except DecodeError as error:
        raise NotSparkplug(f"it is not a payload of Sparkplug B: {error}") from None
    is_birth = topic.type.endswith("BIRTH")
    scope = Scope.of(payload.metrics) if is_birth else births.scope(topic)
    metrics, unresolved = [], 0
    for each in payload.metrics:
        name, datatype = _resolved(each, scope)
        unresolved += name is None or datatype is None
        metrics.append(metric_of(each, name, datatype, budget))
    bd_seq = _bd_seq(metrics) if topic.type in ("NBIRTH", "NDEATH") else births.session(topic)
    event = _event(topic) | {
        "timestamp": payload.timestamp if payload.HasField("timestamp") else None,
        "seq": payload.seq if payload.HasField("seq") else None,
        "bd_seq": bd_seq,
        "unresolved": unresolved,
        "metrics": metrics,
    }
    if payload.HasField("uuid"):
        event["uuid"] = payload.uuid
    if payload.HasField("body"):
        budget.spend(len(payload.body) * 4 // 3)
        event["body"] = base64_text(payload.body)
    text = _dump(event)
    budget.check(len(text))
    if is_birth:
        births.birth(topic, payload.metrics, bd_seq)
    elif topic.type.endswith("DEATH"):
        births.death(topic, bd_seq)
    return text, unresolved


def _event(topic: Topic) -> dict[str, Any]:
    event: dict[str, Any] = {
        "type": topic.type, "group": topic.group, "node": topic.node, "device": topic.device,
        "timestamp": None, "seq": None, "bd_seq": None, "unresolved": 0,
    }  # fmt: skip
    return event | ({"host": topic.host} if topic.host is not None else {})


def _resolved(metric: Any, scope: Scope) -> tuple[str | None, int | None]:
    """Name and data type of a metric, as it says them or its birth did."""
    name = metric.name if metric.HasField("name") else None
    datatype = metric.datatype if metric.HasField("datatype") else None
    known = scope.by_name.get(name) if name is not None else None
    if name is None and metric.HasField("alias"):
        known = scope.by_alias.get(metric.alias)
    if known is None:
        return name, datatype
    return known.name, known.datatype if datatype is None else datatype


def _bd_seq(metrics: list[dict[str, Any]]) -> int | None:
    found = next((each["value"] for each in metrics if each["name"] == _SESSION), None)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def _state(value: bytes) -> dict[str, Any]:
    """Whether a host application is there, as Sparkplug 3 says it, or as 2.2 does."""
    if value in (b"ONLINE", b"OFFLINE"):
        return {"online": value == b"ONLINE"}
    try:
        said = orjson.loads(value)
    except orjson.JSONDecodeError:
        said = None
    if not isinstance(said, dict) or not isinstance(said.get("online"), bool):
        raise NotSparkplug("the state of a host is neither ONLINE, OFFLINE nor a JSON object with 'online'")
    at = said.get("timestamp")
    return {"online": said["online"], "timestamp": at if type(at) is int else None}


def _dump(event: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(event)
    except orjson.JSONEncodeError as error:  # templates in templates, too deep
        raise NotSparkplug(f"it cannot be said in JSON: {error}") from None
