"""CloudEvents of every mode in staging: attributes as columns, the data's fields, one identity.

The examples are what the library `cloudevents` 2.2.0 makes of five events for Kafka and HTTP;
batches, and the user properties of MQTT 5, are written from the specification.
"""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest
from pika import BasicProperties
from pydantic import ValidationError

from ingestion.connectors.kafka.rows import headers_as_text
from ingestion.connectors.rabbitmq.message import headers_of
from ingestion.declare.examples import example_payload
from ingestion.declare.stream import Stream
from tests.values.beside import mqtt_event
from tests.values.staged import Fate, stage_events

EXAMPLES = [
    json.loads(line)
    for line in Path(__file__).with_name("examples").joinpath("cloudevents.jsonl").read_text().splitlines()
]
FIELDS: dict[str, Any] = {
    "machine": "varchar",
    "celsius": "double",
    "cents": "decimal(10,2)",
    "whole": {"type": "varchar", "path": "."},
}
AT = datetime(2026, 3, 1, 7, 0, 0, 123_456, UTC)


def stream(**others: Any) -> Stream:
    """A stream of CloudEvents."""
    declared = {"name": "s", "source": {"kafka": "s"}, "envelope": "cloudevents", "fields": FIELDS}
    return Stream.model_validate(declared | others)


def received(example: dict[str, Any]) -> dict[str, Any]:
    """An example as its connector hands it over."""
    value = example["value"].encode()
    if example["binding"] == "http":
        names = dict(example["headers"])
        kept = {"content_type": names.pop("content-type", ""), **names}
        return {"value": value, "headers": orjson.dumps(kept).decode()}
    pairs = [(name, text.encode()) for name, text in example["headers"]]
    return {"value": value, "headers": headers_as_text(pairs)}


def staged(event: str) -> dict[str, Fate]:
    """What became of an event in each mode."""
    chosen = [each for each in EXAMPLES if each["event"] == event]
    modes = [f"{each['mode']} {each['binding']}" for each in chosen]
    return dict(zip(modes, stage_events(stream(), [received(each) for each in chosen]), strict=True))


@pytest.mark.parametrize("event", ["object", "bytes"])
def test_every_mode_gives_the_same_event(event: str) -> None:
    number, media = ("1", "application/json") if event == "object" else ("3", "application/octet-stream")
    found = staged(event)
    assert set(found) == {"structured kafka", "binary kafka", "binary http"}
    for mode, fate in found.items():
        whole = json.loads(fate.values["whole"])
        assert whole == {"machine": "press-1", "celsius": 71.5, "cents": "1.10"}, mode
        assert fate.values | {"whole": ""} == {
            "ce_id": f"e-{number}", "ce_source": "/plant/ulm", "ce_type": "org.example.reading",
            "ce_subject": "press-1", "ce_time": AT, "ce_datacontenttype": media, "ce_dataschema": None,
            "machine": "press-1", "celsius": 71.5, "cents": Decimal("1.10"), "whole": "",
        }, mode  # fmt: skip
        assert fate.cast_errors == (), mode


def test_letters_beyond_ascii_and_attributes_that_are_missing() -> None:
    for mode, fate in staged("plain").items():
        assert fate.values["ce_source"] == "/Füssen", mode
        assert (fate.values["ce_subject"], fate.values["ce_datacontenttype"]) == (None, None), mode
        assert fate.cast_errors == (), mode


def test_data_may_be_a_text_or_missing() -> None:
    text = staged("text")
    assert text["structured kafka"].values["whole"] == "hello"
    assert text["binary kafka"].reject == "not_json"
    nothing = staged("none")
    assert nothing["structured kafka"].values["machine"] is None
    assert nothing["structured kafka"].cast_errors == ()
    assert nothing["binary kafka"].reject == "empty"
    headers = headers_as_text([(f"ce_{name}", b"x") for name in ("id", "source", "type", "specversion")])
    (event,) = stage_events(stream(), [{"value": None, "headers": headers}, {"value": None}])
    assert (event.values["ce_id"], event.cast_errors) == ("x", ())


def test_each_element_of_a_batch_is_an_event() -> None:
    batch = b"[%s]" % b", ".join(
        b'{"specversion": "1.0", "id": "%d", "source": "/s", "type": "t", "data": {"cents": %s}}'
        % (at, cents)
        for at, cents in enumerate([b"1.10", b"12345678.90", b"1.005"])
    )
    headers = headers_as_text([("content-type", b"application/cloudevents-batch+json")])
    sent = [{"value": batch, "headers": headers}, {"value": batch}, {"value": b"[]"}]
    fates = stage_events(stream(), sent)
    ids = ["s-0@0#1", "s-0@0#2", "s-0@0#3", "s-0@1#1", "s-0@1#2", "s-0@1#3", "s-0@2"]
    assert [fate.event_id for fate in fates] == ids
    assert [fate.values["ce_id"] for fate in fates] == ["0", "1", "2", "0", "1", "2", None]
    assert [fate.values["cents"] for fate in fates][:3] == [Decimal("1.10"), Decimal("12345678.90"), None]
    assert [fate.cast_errors for fate in fates][2:4] == [("cents",), ()]
    assert fates[-1].cast_errors == ("ce_id", "ce_source", "ce_type")


def test_user_properties_are_attributes() -> None:
    message = {"topic": "a", "value": '{"machine": "m"}'}
    attributes = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "time": AT.isoformat()}
    pairs = list(attributes.items())
    event = mqtt_event({**message, "user_properties": pairs})
    twice = mqtt_event({**message, "user_properties": [*pairs, ("id", "2")]})
    once, unclear = stage_events(stream(source={"mqtt": "a"}), [event, twice])
    assert (once.values["ce_id"], once.values["ce_time"], once.values["machine"]) == ("1", AT, "m")
    assert once.cast_errors == ()
    assert (unclear.values["ce_id"], unclear.cast_errors) == (None, ("ce_id",))


def amqp_event(body: bytes, **headers: Any) -> dict[str, Any]:
    """A message as RabbitMQ's connector hands it over, after AMQP has encoded its headers."""
    sent = BasicProperties(content_type="application/json", headers=headers)
    came = BasicProperties().decode(b"".join(sent.encode()))
    return {"value": body, "headers": headers_of(came, exchange="")}


@pytest.mark.parametrize("prefix", ["cloudEvents:", "cloudEvents_", "ce-"])
def test_application_properties_of_amqp_are_attributes_with_its_own_types(prefix: str) -> None:
    attributes = {
        "specversion": "1.0", "id": "1", "source": "/s?a=%20", "type": "t", "time": AT.replace(microsecond=0),
        "sequence": 2**40, "sampled": True,
    }  # fmt: skip
    sent = {f"{prefix}{name}": value for name, value in attributes.items()}
    whole = amqp_event(b'{"machine": "m"}', **sent)
    twice = amqp_event(b"{}", **sent | {f"{prefix}id": ["1", "2"]})
    less = amqp_event(b"{}", **{f"{prefix}specversion": "1.0", f"{prefix}id": "2"})
    other = amqp_event(structured(id="3"), **{"x-id": "4"})
    declared = stream(source={"rabbitmq": "q"}, fields=FIELDS | TRACED)
    once, unclear, lacking, within = stage_events(declared, [whole, twice, less, other])
    assert once.cast_errors == ()
    assert once.values["ce_time"] == AT.replace(microsecond=0)
    names = ("ce_id", "ce_source", "ce_datacontenttype", "machine", "number", "sampled")
    found = tuple(once.values[name] for name in names)
    assert found == ("1", "/s?a=%20", "application/json", "m", 2**40, True)
    assert (unclear.values["ce_id"], unclear.cast_errors) == (None, ("ce_id",))
    assert lacking.cast_errors == ("ce_source", "ce_type")
    assert (within.values["ce_id"], within.values["machine"]) == ("3", "m")


TRACED: dict[str, Any] = {
    "trace": {"extension": "traceparent"},
    "number": {"extension": "sequence", "type": "bigint"},
    "sampled": {"extension": "sampled", "type": "boolean"},
}


def structured(**attributes: Any) -> bytes:
    """An event with these attributes besides the needed ones."""
    head = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
    return json.dumps(head | attributes | {"data": {"machine": "m"}}).encode()


def test_extension_attributes_are_fields_in_every_mode_of_the_library() -> None:
    chosen = [each for each in EXAMPLES if each["event"] == "object"]
    fields = {"key": {"extension": "partitionkey"}, "machine": "varchar"}
    fates = stage_events(stream(fields=fields), [received(each) for each in chosen])
    assert {each["mode"] for each in chosen} == {"structured", "binary"}
    assert [(fate.values["key"], fate.values["machine"], fate.cast_errors) for fate in fates] == [
        ("k-1", "press-1", ())
    ] * len(chosen)


def test_extension_attributes_have_a_type_or_are_named() -> None:
    in_headers = {"id": "1", "source": "/s", "type": "t", "specversion": "1.0", "sequence": "7"}
    kafka = [(f"ce_{name}", text.encode()) for name, text in in_headers.items()]
    http = {f"ce-{name}": text for name, text in in_headers.items()} | {"ce-traceparent": "a%20b"}
    sent = [
        {"value": structured(traceparent="00-1", sequence=7, sampled=True)},
        {"value": structured(sequence="x", sampled=None)},
        {"value": b"[%s]" % structured(traceparent="in a batch")},
        {"value": b"{}", "headers": headers_as_text(kafka)},
        {"value": b"{}", "headers": orjson.dumps(http).decode()},
        mqtt_event({"topic": "a", "user_properties": [*in_headers.items(), ("sampled", "false")]}),
    ]
    fates = stage_events(stream(fields=TRACED), sent)
    assert [tuple(fate.values[name] for name in TRACED) for fate in fates] == [
        ("00-1", 7, True),
        (None, None, None),
        ("in a batch", None, None),
        (None, 7, None),
        ("a b", 7, None),
        (None, 7, False),
    ]
    assert [fate.cast_errors for fate in fates] == [(), ("number",), (), (), (), ()]


def test_an_attribute_that_is_there_twice_has_no_value_and_is_named() -> None:
    twice = structured(traceparent="a", subject="s").replace(
        b'"traceparent"', b'"traceparent": "b", "traceparent"'
    )
    subjects = structured(subject="a").replace(b'"subject"', b'"subject": "b", "subject"')
    data = structured().replace(b'"data"', b'"data": {}, "data"')
    pairs = [(f"ce_{name}", b"1") for name in ("id", "source", "type", "specversion", "traceparent")]
    headers = headers_as_text([*pairs, ("ce_traceparent", b"2"), ("ce_subject", b"s"), ("ce-subject", b"s")])
    fates = stage_events(
        stream(fields={**TRACED, "machine": "varchar"}),
        [{"value": value} for value in (twice, subjects, data)] + [{"value": b"{}", "headers": headers}],
    )
    assert [(fate.values["trace"], fate.values["ce_subject"], fate.cast_errors) for fate in fates] == [
        (None, "s", ("trace",)),
        (None, None, ("ce_subject",)),
        (None, None, ("payload",)),
        (None, None, ("ce_subject", "trace")),
    ]


@pytest.mark.parametrize(
    ("said", "others", "sentence"),
    [
        (
            "traceparent",
            {"envelope": None},
            "'trace' is an extension attribute, which only 'envelope: cloudevents'",
        ),
        ("traceparent", {"envelope": "debezium"}, "which only 'envelope: cloudevents' has"),
        ("subject", {}, "staging has it as 'ce_subject' without a declaration"),
        ("data", {}, "'data' is not an extension attribute of an event"),
        ("Trace-Parent", {}, "it has lower-case letters and digits"),
    ],
)
def test_a_mistake_about_an_extension_is_refused(said: str, others: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        stream(fields={"trace": {"extension": said}}, **others)


def test_what_is_not_a_cloudevent_is_named() -> None:
    sent = [b'{"machine": "m"}', b'[{"machine": "m"}]', b'"hello"']
    fates = stage_events(stream(), [{"value": value} for value in sent])
    assert [fate.cast_errors for fate in fates] == [("ce_id", "ce_source", "ce_type")] * 3


def test_identity_and_time_are_the_events_own_unless_declared() -> None:
    assert (stream().business_id, stream().event_time) == (("ce_source", "ce_id"), "ce_time")
    other = stream(business_id="machine", event_time="ce_time")
    assert other.business_id == ("machine",)


@pytest.mark.parametrize("envelope", ["debezium", "cloudevents"])
def test_made_up_events_are_in_their_envelope(envelope: str) -> None:
    extension = {"trace": {"extension": "traceparent"}} if envelope == "cloudevents" else {}
    made = stream(envelope=envelope, fields={"machine": "varchar"} | extension)
    payloads = [
        example_payload(made, number=number, now=AT, random=Random(1), like=[{"machine": "m"}])
        for number in (1, 2)
    ]
    fates = stage_events(made, [{"value": json.dumps(payload).encode()} for payload in payloads])
    assert [fate.cast_errors for fate in fates] == [(), ()]
    assert len({tuple(fate.values.items()) for fate in fates}) == 2
    assert all(str(fate.values["machine"]).startswith("machine-") for fate in fates)
    assert all(str(fate.values.get("trace", "trace-")).startswith("trace-") for fate in fates)
