"""Spans against a real collector over HTTP, and what happens where none answers."""

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from paho.mqtt.client import MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from pika import BasicProperties

from ingestion.connectors.kafka.rows import headers_as_text
from ingestion.connectors.mqtt.message import event_of
from ingestion.connectors.rabbitmq.message import headers_of
from ingestion.settings import Settings, load_settings
from ingestion.telemetry.handed_on import hand_on, handed_on
from ingestion.telemetry.producers import MOST_LINKS, producers_of
from ingestion.telemetry.run_trace import RunTrace
from tests.repository import REPOSITORY
from tests.servers.otlp import Collector, Mood
from tests.servers.ports import free_ports
from tests.waiting import eventually

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SENT = f"00-{TRACE}-{SPAN}-01"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


@pytest.fixture(autouse=True)
def _env_of_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_ENV_FILE", str(tmp_path / ".env"))
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")  # as in each process of a running system


def settings_of(tmp_path: Path, **variables: str) -> Settings:
    """Settings whose .env holds some variables."""
    lines = "".join(f"{name}='{value}'\n" for name, value in variables.items())
    (tmp_path / ".env").write_text(lines)
    (tmp_path / "streams.yml").write_text("")
    return load_settings(project=tmp_path, data_dir=tmp_path / "data")


def work(trace: RunTrace) -> None:
    """A cycle with a step within a step, one that is over, and one that fails."""
    with trace.step("load orders", consumes=True, values={"millrace.stream": "orders"}) as step:
        step.link([SENT, "nothing"])
        step.add({"millrace.events": 3})
        trace.record("read", began=1.0, ended=2.0)
    with pytest.raises(ZeroDivisionError), trace.step("build models"):
        raise ZeroDivisionError("with what the row held")
    trace.end_cycle()
    with trace.step("load orders"):
        pass


def test_a_cycle_is_a_trace_and_its_steps_are_spans(tmp_path: Path, collector: Collector) -> None:
    settings = settings_of(
        tmp_path,
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20s3cr3t",
    )
    trace = RunTrace(settings)
    work(trace)
    trace.close()
    eventually(lambda: len(collector.spans()) == 6, "all spans are there")
    first, second = sorted(collector.spans("cycle"), key=lambda span: span.began)
    load = next(span for span in collector.spans("load orders") if span.trace == first.trace)
    (read,), (build,) = collector.spans("read"), collector.spans("build models")
    assert (first.parent, load.parent, read.parent) == ("", first.id, load.id)
    assert load.links == [(TRACE, SPAN)]
    assert load.values == {"millrace.stream": "orders", "millrace.events": 3}
    assert (read.began, read.ended) == (10**9, 2 * 10**9)
    assert (build.parent, build.failure, load.failure) == (first.id, "ZeroDivisionError", None)
    assert second.trace != first.trace
    assert load.resource["service.name"] == "millrace"
    assert load.resource["millrace.part"] == "run"
    assert collector.headers["authorization"] == "Bearer s3cr3t"
    assert "s3cr3t" not in collector.text


@pytest.mark.parametrize("mood", ["refuses", "hangs", "away"])
def test_a_run_ends_while_its_collector_does_not_answer(
    tmp_path: Path, mood: str, caplog: pytest.LogCaptureFixture
) -> None:
    moods: dict[str, Mood] = {"refuses": "refuses", "hangs": "hangs"}
    with Collector(moods.get(mood, "takes")) as collector:
        (port,) = free_ports(1)
        url = collector.url if mood in moods else f"http://127.0.0.1:{port}"
        url = url.replace("http://", "http://someone:pa55word@")
        settings = settings_of(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=url, OTEL_EXPORTER_OTLP_TIMEOUT="1")
        trace = RunTrace(settings)
        with caplog.at_level(logging.DEBUG):
            work(trace)
            if mood in moods:
                eventually(lambda: collector.asked > 0, "it was sent something")
            trace.close()  # with "hangs", the collector answers nobody until the block ends
        assert collector.spans() == []
    eventually(lambda: "does not take the traces" in caplog.text, "it is said, in this test and in no other")
    assert "pa55word" not in caplog.text


def test_it_is_said_once_that_no_collector_is_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Collector("refuses") as collector:
        settings = settings_of(
            tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_EXPORTER_OTLP_TIMEOUT="1"
        )
        trace = RunTrace(settings)
        work(trace)
        eventually(lambda: "does not take the traces" in caplog.text, "it is said")
        for _ in range(3):  # a refusal is asked again once at most in its second: the third round is another
            asked = collector.asked
            work(trace)
            eventually(lambda before=asked: collector.asked > before, "it is tried again")
        assert caplog.text.count("does not take the traces") == 1
        collector.mood = "takes"
        work(trace)
        eventually(lambda: bool(collector.spans()), "it is there again")
        trace.close()


def test_without_a_collector_nothing_is_imported(tmp_path: Path) -> None:
    settings_of(tmp_path)
    program = f"""
import sys
from pathlib import Path
from ingestion.settings import load_settings
from ingestion.land.session import LakeSession
session = LakeSession(load_settings(project=Path({str(tmp_path)!r}), data_dir=Path({str(tmp_path / "d")!r})))
with session.trace.step("load orders") as step:
    step.add({{"a": 1}})
session.trace.record("read", began=0.0, ended=1.0)
session.trace.end_cycle()
session.trace.close()
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "variables", [{}, {"OTEL_TRACES_EXPORTER": "none"}], ids=["no address", "no exporter"],
)  # fmt: skip
def test_traces_are_off(tmp_path: Path, collector: Collector, variables: dict[str, str]) -> None:
    if variables:
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, **variables}
    trace = RunTrace(settings_of(tmp_path, **variables))
    work(trace)
    assert not trace.is_on
    trace.close()
    assert collector.asked == 0


def test_a_library_that_is_not_there_stops_no_run(
    tmp_path: Path, collector: Collector, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    trace = RunTrace(settings_of(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url))
    work(trace)
    assert not trace.is_on
    assert "is the extra otel installed?" in caplog.text
    trace.close()


def _mqtt() -> str:
    message = MQTTMessage(topic=b"a/b")
    message.properties = Properties(PacketTypes.PUBLISH)
    message.properties.UserProperty = ("traceparent", SENT)
    return str(event_of(message, 0).headers)


SHAPES = {
    "kafka": lambda: headers_as_text([("traceparent", SENT.encode()), ("other", b"x")]),
    "kafka twice": lambda: headers_as_text([("traceparent", SENT.encode()), ("traceparent", b"x")]),
    "mqtt": _mqtt,
    "rabbitmq": lambda: headers_of(BasicProperties(headers={"traceparent": SENT}), exchange=""),
    "http": lambda: json.dumps({"content_type": "application/json", "Traceparent": SENT.upper()}),
    "cloudevents": lambda: headers_as_text([("ce_traceparent", SENT.encode())]),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_producer_s_trace_is_found_in_the_headers_of_each_kind(shape: str) -> None:
    found = producers_of(pa.chunked_array([pa.array([None, SHAPES[shape](), "{}"])]))
    assert (found.events, found.traceparents) == (1, (SENT,))


@pytest.mark.parametrize(
    "headers",
    [
        None,
        "{}",
        json.dumps({"traceparent": "00-zz-1-01"}),
        json.dumps({"note": json.dumps({"traceparent": SENT})}),
        json.dumps({"my-traceparent": SENT}),
    ],
    ids=["none", "empty", "not one", "in a text", "another name"],
)
def test_what_names_nothing_is_left_out(headers: str | None) -> None:
    assert producers_of(pa.chunked_array([pa.array([headers], pa.string())])).events == 0


def test_a_large_batch_links_to_some_of_its_producers_from_its_first_to_its_last_part() -> None:
    sent = [json.dumps({"traceparent": f"00-{number + 1:032x}-{SPAN}-01"}) for number in range(1000)]
    found = producers_of(pa.chunked_array([pa.array(sent[:300]), pa.array(sent[300:])]))
    numbers = [int(each.split("-")[1], 16) for each in found.traceparents]
    assert found.events == 1000
    assert MOST_LINKS // 2 < len(numbers) <= MOST_LINKS
    assert (numbers[0], max(numbers) > 900) == (1, True)


def test_a_mart_s_trace_is_the_newest_that_a_version_shows(tmp_path: Path) -> None:
    for snapshot in range(1, 21):
        hand_on(tmp_path, ["orders"], traceparent=f"t{snapshot}", snapshot=snapshot)
    assert handed_on(tmp_path, "orders", since=0, until=18) == "t18"
    assert handed_on(tmp_path, "orders", since=20, until=25) == "", "it was not built since"
    assert handed_on(tmp_path, "customers", since=0, until=18) == ""
