"""The demo's scanners send as a client should, and inspectors report what can be."""

from collections import Counter
from pathlib import Path
from random import Random

import pytest
from kafka import KafkaConsumer

from ingestion.collect.status import state_folder
from ingestion.connectors.http.connector import HTTP
from orchestration.demo.brokers import DemoBrokers
from orchestration.demo.guests.traffic import Carriers
from orchestration.demo.inspections import Inspection, Inspectors
from orchestration.demo.machines import Machine
from orchestration.demo.orders import OrderBook, OrderEvent
from orchestration.demo.scanners import Scanners
from orchestration.demo.senders import ORDERS_PARTITIONS, ORDERS_TOPIC
from orchestration.demo.streams import INSPECTIONS
from tests.ingestion.posting import collecting
from tests.repository import REPOSITORY
from tests.servers.ports import free_ports
from tests.waiting import eventually

SOURCE = {"http": INSPECTIONS.name, "auth": "token"}
REQUESTS = [f"i-{number}" for number in range(30)]


def body(key: str) -> bytes:
    return f'{{"inspection_id": "{key}"}}'.encode()


def test_lost_answers_and_a_server_that_was_away_cost_no_event_and_double_none(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    token = HTTP.tokens(state_folder(tmp_path, HTTP)).make("a")
    answered: list[str] = []
    scanners = Scanners(port, token, random=Random(1), lost_share=0.5, on_receipt=answered.append)
    for key in REQUESTS[:10]:
        scanners.post(body(key), key=key)  # nothing listens yet
    stored: list[bytes] = []
    with collecting(tmp_path, SOURCE, http_port=port) as post:
        eventually(lambda: not scanners.waiting, "receipts of the first")
        stored += post.values("a")
    for key in [*REQUESTS[10:], *REQUESTS[:3]]:  # three that have a receipt come again
        scanners.post(body(key), key=key)
    with collecting(tmp_path, SOURCE, http_port=port) as post:
        eventually(lambda: not scanners.waiting, "receipts of all")
        stored = post.values("a")
    scanners.finish(timeout_s=10)
    assert Counter(stored) == Counter(map(body, REQUESTS))
    assert answered == [*REQUESTS, *REQUESTS[:3]]
    assert scanners.receipts == len(REQUESTS) + 3
    assert 3 < scanners.repeated <= scanners.receipts


def test_without_the_token_nothing_is_taken(tmp_path: Path) -> None:
    with collecting(tmp_path, SOURCE) as post:
        scanners = Scanners(post.port, "mr_guessed", random=Random(1))
        scanners.post(b"{}", key="a")
        eventually(lambda: not scanners.waiting, "an answer")
        assert (scanners.receipts, post.values("a")) == (0, [])
        scanners.finish(timeout_s=1)


def inspected(*events: str, quantity: int = 100, seed: int = 1) -> list[Inspection]:
    inspectors = Inspectors(Random(seed))
    for number, event in enumerate(events):
        order = OrderEvent(f"o-{event}", "o", "press-01", "gear", quantity, event, "2026-03-01T08:00:00Z")
        inspectors.notice(order, elapsed_s=float(number))
    assert list(inspectors.due(0.9, now_s=0.0)) == []
    return list(inspectors.due(60.0, now_s=1_772_000_000.0))


def test_an_order_is_inspected_when_it_starts_and_when_it_is_completed() -> None:
    assert inspected("created", "cancelled") == []
    (first,) = inspected("started")
    assert first.inspected == 5
    found = [each for seed in range(20) for each in inspected("started", "completed", quantity=7, seed=seed)]
    assert any(each.defect for each in found)
    assert {each.order_id for each in found} == {"o"}
    for each in found:
        assert 0 <= each.scrapped <= each.inspected - each.passed <= each.inspected <= 7
        assert (each.defect is None) == (each.passed == each.inspected)


@pytest.mark.parametrize("seed", range(20))
def test_a_short_demo_has_an_inspection_and_a_parcel(seed: int) -> None:
    machines = (Machine("press-01", "line-1", "press", 60.0, 2.0, 10.0),)
    book = OrderBook(machines, Random(seed), orders_per_second=0.1, run_id="r")
    inspectors, carriers = Inspectors(Random(seed)), Carriers(Random(seed))
    seen = Counter[str]()
    for tick in range(160):
        elapsed = tick * 0.05
        for message in book.due(elapsed, now_s=elapsed):
            assert message.event is not None, "the first order ends well"
            seen["orders"] += 1
            inspectors.notice(message.event, elapsed_s=elapsed)
            carriers.notice(message.event, elapsed_s=elapsed)
        seen["inspections"] += len([*inspectors.due(elapsed, now_s=elapsed)])
        seen["parcels"] += len([*carriers.due(elapsed, now_s=elapsed)])
        if elapsed >= 1:
            assert seen["parcels"] >= 1
    assert seen["inspections"] >= 1
    assert seen["orders"] >= 3


def test_whoever_looks_before_the_plant_sends_finds_the_topic_of_orders(tmp_path: Path) -> None:
    kafka = DemoBrokers(tmp_path, REPOSITORY).kafka
    kafka.start()
    try:
        consumer = KafkaConsumer(bootstrap_servers=kafka.bootstrap_servers)
        assert consumer.partitions_for_topic(ORDERS_TOPIC) == set(range(ORDERS_PARTITIONS))
        consumer.close()
    finally:
        kafka.stop()


def test_a_demo_receives_http_on_a_port_of_its_own_whatever_env_says(tmp_path: Path) -> None:
    brokers = DemoBrokers(tmp_path, REPOSITORY)
    access = brokers.settings().access("http", HTTP.access)
    assert access.address == f"http://127.0.0.1:{brokers.http_port}"
    assert not access.is_exposed
    assert access.token.get_secret_value() == brokers.token == brokers.token_file().read_text()
    assert brokers.token_file().stat().st_mode & 0o077 == 0
    assert HTTP.tokens(state_folder(tmp_path, HTTP)).admits(INSPECTIONS.name, brokers.token)
