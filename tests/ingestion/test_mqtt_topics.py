"""Which stream a message belongs to, and how long to wait for a broker: no broker is needed to know."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import Client, topic_matches_sub
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode
from pydantic import ValidationError

from ingestion.connectors.mqtt.access import MqttAccess
from ingestion.connectors.mqtt.declare import MqttSource
from ingestion.connectors.mqtt.filters import matches
from ingestion.connectors.mqtt.retry import Retry
from ingestion.connectors.mqtt.session import SessionsFile, session_file
from ingestion.connectors.mqtt.subscriptions import Subscriptions
from ingestion.connectors.mqtt.topics import Subscription, Takers


def test_waits_grow_and_are_bounded() -> None:
    retry = Retry(first_seconds=0.5, most_seconds=10)
    assert [retry.delay(failures, chance=0) for failures in (1, 2, 3, 6, 1000)] == [0.5, 1, 2, 10, 10]
    assert retry.delay(3, chance=0.999) > 1


def test_a_former_filter_is_left_once_all_that_is_declared_was_granted(tmp_path: Path) -> None:
    client, asked, left = Client(CallbackAPIVersion.VERSION2), list[str](), list[str]()
    client.subscribe = lambda topic, *_: (0, asked.append(topic) or len(asked))  # type: ignore[method-assign]
    client.unsubscribe = lambda topic: (0, left.append(topic) or len(left))  # type: ignore[method-assign]
    session = SessionsFile(session_file(tmp_path), "millrace").session("s")
    session.remember({"old/#": "QoS 1, MQTT 3.1.1"})
    held = Subscriptions(client, MqttAccess(host="h"), session, Subscription("new/#", 1), Retry())
    held.resume(session_present=True)
    assert set(asked) == {"new/#"}
    held.tend(may_leave=True)
    assert left == [], "nobody has answered"
    held.subscribed(1, [ReasonCode(PacketTypes.SUBACK, identifier=0x80)], address="h")
    held.tend(may_leave=True)
    assert left == [], "it was refused"
    held.refused.clear()
    session.remember({"old/#": "QoS 1, MQTT 3.1.1", "new/#": "QoS 1, MQTT 3.1.1"})
    held.tend(may_leave=False)
    assert left == [], "another session waits for its answer"
    held.tend(may_leave=True)
    held.tend(may_leave=True)
    assert left == ["old/#"]
    held.unsubscribed(1)
    assert set(session.subscriptions) == {"new/#"}


def test_a_message_goes_to_its_own_stream_or_to_one_that_was_not_known_when_it_was_queued() -> None:
    sources = {name: MqttSource(mqtt=f) for name, f in {"a": "x/#", "b": "x/+", "c": "$share/g/y/#"}.items()}
    assert Takers("a", sources, frozenset()).of("x/1") == ("a",)
    assert Takers("c", sources, frozenset()).of("y/1/2") == ("c",)
    assert Takers("c", sources, frozenset()).of("x/1") == ()  # a and b have it from their own sessions
    assert Takers("c", sources, frozenset({"b"})).of("x/1") == ("b",)
    assert Takers("gone", sources, frozenset({"a", "b", "c"})).of("x/1") == ("a", "b")
    assert Takers("gone", sources, frozenset({"a", "b", "c"})).of("z") == ()


@pytest.mark.parametrize("topic_filter", ["$share/group/a/#", "$share/g/+", "$SYS/broker/#", "$SYS", "a/$b"])
def test_a_shared_subscription_and_the_brokers_own_topics_can_be_read(topic_filter: str) -> None:
    assert MqttSource(mqtt=topic_filter).mqtt == topic_filter


@pytest.mark.parametrize(
    ("topic_filter", "why"),
    [
        ("$share/group", "not a shared subscription"),
        ("$share/group/", "not a shared subscription"),
        ("$share//a", "not a shared subscription"),
        ("$share/+/a", "not a shared subscription"),
        ("$share/g/$share/g/a", "keep for themselves"),
        ("$queue/a", "keep for themselves"),
        ("$aws/things/#", "keep for themselves"),
        ("$", "keep for themselves"),
    ],
)
def test_other_topics_that_begin_with_a_dollar_are_refused(topic_filter: str, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        MqttSource(mqtt=topic_filter)


_level = st.sampled_from(["a", "b", "", "$SYS", "ä"])
_topics = st.lists(_level, min_size=1, max_size=4).map("/".join).filter(bool)
_filters = st.tuples(st.lists(_level | st.just("+"), max_size=4), st.booleans()).map(
    lambda parts: "/".join([*parts[0], *(["#"] if parts[1] else [])])
)


@given(_filters.filter(bool), _topics)
def test_topics_match_as_the_mqtt_library_says(topic_filter: str, topic: str) -> None:
    assert matches(topic_filter, topic) == topic_matches_sub(topic_filter, topic)
