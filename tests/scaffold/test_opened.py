"""`millrace add` sees envelopes, and an identity beside the payload where that has none."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ingestion.connectors.messages import Message
from ingestion.declare.sources import Seen, read_source
from ingestion.declare.stream import DEFAULT_FORMAT
from orchestration.scaffold.plan import Sample, make_plan
from orchestration.scaffold.wishes import Wishes
from tests.values.test_cloudevents import EXAMPLES, received
from tests.values.test_debezium import FORMS, examples

START = datetime(2026, 3, 1, tzinfo=UTC)


def seen(key: bytes | None, value: bytes, headers: str | None = None, *, at: int = 0) -> Seen:
    """A message as it is looked at."""
    message = Message("", None, key, value, headers, START + timedelta(seconds=at))
    return Seen(message, None if key is None else key.decode(), value.decode(), format="json")


def proposed(source: str, messages: list[Seen]) -> tuple[str, dict[str, str]]:
    """The entry, and the reasons."""
    sample = Sample(DEFAULT_FORMAT, "", tuple(messages), {}, 0, ())
    plan = make_plan("s", read_source(source), sample, Wishes(), mart=True, notes=())
    plan.entry.stream()  # it can be declared
    return plan.entry.text(), dict(plan.reasons)


@pytest.mark.parametrize("form", FORMS)
def test_changes_are_seen(form: str) -> None:
    sent = [each for each in examples(form) if "orders" in each["source_partition"] and each["value"]]
    entry, reasons = proposed("kafka:s", [seen(each["event_key"], each["value"]) for each in sent])
    assert "  envelope: debezium\n  business_id: [id]\n  fields:\n    id: bigint\n" in entry
    assert reasons["envelope"] == "debezium in 7 of 7"
    if form == "with a schema":
        for line in ("amount: decimal(12,2)", "placed_on: date", "placed_at: timestamp", "micros: timestamp"):
            assert f"    {line}\n" in entry


@pytest.mark.parametrize("mode", ["structured", "binary"])
def test_cloudevents_are_seen(mode: str) -> None:
    sent = [received(each) for each in EXAMPLES if each["event"] == "object" and each["mode"] == mode]
    entry, reasons = proposed("kafka:s", [seen(None, each["value"], each["headers"]) for each in sent])
    assert "  envelope: cloudevents\n  fields:\n    machine: varchar\n    celsius: double\n" in entry
    assert reasons["business_id"] == "ce_source and ce_id of the envelope"


def test_the_topic_identifies_where_the_payload_does_not() -> None:
    messages = [
        seen(f"home/room-{room}/lamp/state".encode(), json.dumps(_reading(at)).encode(), at=at)
        for at in range(12)
        for room in range(2)
    ]
    entry, _ = proposed("mqtt:home/+/+/state", messages)
    assert "  business_id: [topic_2, sent_at]\n" in entry
    assert "    topic_2: {topic: 2}\n" in entry
    assert "topic_3" not in entry


def test_the_key_identifies_where_the_payload_does_not() -> None:
    values = [json.dumps({"total": number / 4}).encode() for number in range(30)]
    plain, _ = proposed("kafka:s", [seen(f"o-{at}".encode(), value) for at, value in enumerate(values)])
    assert "  business_id: [message_key]\n" in plain
    assert "    message_key: {key: true}\n" in plain
    keys = [json.dumps({"shop": 1, "id": at}).encode() for at in range(30)]
    parts, _ = proposed("kafka:s", [seen(key, value) for key, value in zip(keys, values, strict=True)])
    assert "  business_id: [key_id]\n" in parts
    assert "    key_id: {key: id}\n" in parts
    few, _ = proposed("kafka:s", [seen(f"o-{at}".encode(), value) for at, value in enumerate(values[:5])])
    assert "business_id" not in few


def _reading(at: int) -> dict[str, Any]:
    return {"sent_at": (START + timedelta(seconds=at)).isoformat(), "watts": at / 2}
