"""Which stream a message belongs to, and how long to wait for a broker: no broker is needed to know."""

from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub

from ingestion.connectors.mqtt.declare import MqttSource
from ingestion.connectors.mqtt.filters import matches
from ingestion.connectors.mqtt.retry import Retry
from ingestion.connectors.mqtt.topics import Router


def test_waits_grow_and_are_bounded() -> None:
    retry = Retry(first_seconds=0.5, most_seconds=10)
    assert [retry.delay(failures, chance=0) for failures in (1, 2, 3, 6, 1000)] == [0.5, 1, 2, 10, 10]
    assert retry.delay(3, chance=0.999) > 1


def test_a_delivery_goes_to_the_streams_of_its_subscription() -> None:
    router = Router(
        {
            "a": MqttSource(mqtt="x/#"),
            "b": MqttSource(mqtt="x/+"),
            "c": MqttSource(mqtt="x/#", qos=0),
            "d": MqttSource(mqtt="y"),
        }
    )
    identifier = {subscription.filter: subscription.identifier for subscription in router.subscriptions}
    assert {s.filter: s.qos for s in router.subscriptions} == {"x/#": 1, "x/+": 1, "y": 1}
    assert set(router.route("x/1")) == {"a", "b", "c"}
    assert set(router.route("x/1", [identifier["x/#"]])) == {"a", "c"}
    assert router.route("x/1", [identifier["x/+"]]) == ("b",)
    assert router.route("x/1", [12345]) == ()
    assert router.route("z") == ()


_level = st.sampled_from(["a", "b", "", "$SYS", "ä"])
_topics = st.lists(_level, min_size=1, max_size=4).map("/".join).filter(bool)
_filters = st.tuples(st.lists(_level | st.just("+"), max_size=4), st.booleans()).map(
    lambda parts: "/".join([*parts[0], *(["#"] if parts[1] else [])])
)


@given(_filters.filter(bool), _topics)
def test_topics_match_as_the_mqtt_library_says(topic_filter: str, topic: str) -> None:
    assert matches(topic_filter, topic) == topic_matches_sub(topic_filter, topic)
