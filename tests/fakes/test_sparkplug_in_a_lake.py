"""Sparkplug B from a log into the lake: what births said is committed with the batch, and read again."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from ingestion.declare.decoding import decoder_of
from ingestion.declare.stream import Stream
from ingestion.faultpoints import install_hook
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import prove, read_format_states
from ingestion.land.redecode import redecode
from ingestion.land.resolutions import retry
from ingestion.settings import Settings
from tests.fakes.registered import fakes
from tests.fakes.tape import Deck, one_event_at_a_time
from tests.formats.edge_node import INT8, EdgeNode, metric, payload
from tests.ingestion.helpers import ingest

with fakes():
    STREAM = Stream.model_validate({"name": "plant", "source": {"tape": "reel"}, "format": "sparkplug"})
    RAW = Stream.model_validate({"name": "plant", "source": {"tape": "reel"}, "format": "binary"})


@pytest.fixture(autouse=True)
def _no_hook() -> Iterator[None]:
    yield
    install_hook(None)


@pytest.fixture
def node(lake: Lake, at: Settings) -> EdgeNode:
    lake.settings = at
    return EdgeNode()


def send(deck: Deck, *messages: tuple[str, bytes | None]) -> None:
    for topic, value in messages:
        deck.reels["reel"].record(value, key=topic.encode())


def texts(lake: Lake) -> list[Any]:
    rows = lake.query("select payload from raw.plant order by position")
    return [None if text is None else json.loads(text) for (text,) in rows]


def names(lake: Lake) -> list[list[str | None]]:
    return [[each["name"] for each in event["metrics"]] for event in texts(lake)]


def again(lake: Lake, at: Settings) -> Any:
    return redecode(lake, "plant", decode=decoder_of(STREAM, at, with_keys=False))


def test_a_birth_names_what_comes_in_later_chunks_and_batches(
    lake: Lake, at: Settings, deck: Deck, node: EdgeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_event_at_a_time(monkeypatch)
    send(deck, *node.birth(), node.data(0), node.measured(0))
    ingest(lake, STREAM, at)
    send(deck, node.data(1), node.measured(1))
    ingest(lake, STREAM, at)
    assert names(lake)[2:] == [["Load"], ["Temp"], ["Load"], ["Temp"]]
    assert lake.query("select batch_id from raw.batches where format_state is not null") == [(1,)], (
        "a batch without a birth writes none"
    )
    assert not prove(lake, "plant").defects


@pytest.mark.slow("several batches and replays of a lake")
@pytest.mark.parametrize("place", ["batch.polled", "loader.extracted", "loader.normalized", "loader.loaded"])
def test_what_is_stopped_before_its_commit_leaves_no_birth_and_no_position(
    lake: Lake, at: Settings, deck: Deck, node: EdgeNode, place: str
) -> None:
    """The second birth swaps the aliases: half of it would exchange the names."""
    send(deck, *node.birth())
    ingest(lake, STREAM, at)
    before = read_format_states(lake, "plant")
    swapped = EdgeNode(bd_seq=1, aliases=(2, 1))
    send(deck, *swapped.birth())

    def stop(name: str) -> None:
        if name == place:
            raise KeyboardInterrupt

    install_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        ingest(lake, STREAM, at)
    install_hook(None)
    assert read_format_states(lake, "plant") == before
    send(deck, swapped.data(3), swapped.measured(4))
    ingest(lake, STREAM, at)
    assert names(lake)[4:] == [["Load"], ["Temp"]]
    assert read_format_states(lake, "plant") != before


@pytest.mark.slow("several batches and replays of a lake")
def test_a_replay_from_raw_reads_births_in_their_order(
    lake: Lake, at: Settings, deck: Deck, node: EdgeNode
) -> None:
    swapped = EdgeNode(bd_seq=1, aliases=(2, 1))
    lost = (node.topic("NBIRTH"), b"\xff")
    parts = [
        [node.data(0), *node.birth()], [node.data(1), node.measured(2)], [node.death(), *swapped.birth()],
        [swapped.data(3), swapped.measured(4)], [lost, swapped.data(5)], [(node.topic("NDATA"), None)],
    ]  # fmt: skip
    for part in parts:
        send(deck, *part)
        ingest(lake, STREAM, at)
    before, states = texts(lake), read_format_states(lake, "plant")
    assert [event and event["unresolved"] for event in before] == [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, None]
    lake.query("update raw.plant set payload = '{}' where payload is not null")
    lake.settings = at.replaced(batch_max_events=2)
    report = again(lake, lake.settings)
    assert (report.read, report.changed, report.refused) == (11, 11, 0)
    assert texts(lake) == before
    assert read_format_states(lake, "plant") == states
    assert again(lake, at).changed == 0
    assert not prove(lake, "plant").defects


@pytest.mark.slow("several batches and replays of a lake")
def test_a_stream_that_was_kept_as_bytes_becomes_sparkplug(
    lake: Lake, at: Settings, deck: Deck, node: EdgeNode
) -> None:
    """The replay also leaves what the next batches are decoded by."""
    send(deck, *node.birth(), node.data(1))
    ingest(lake, RAW, at)
    assert again(lake, at).changed == 3
    assert names(lake)[2] == ["Load"]
    send(deck, node.data(2))
    ingest(lake, STREAM, at)
    assert names(lake)[3] == ["Load"]


@pytest.mark.slow("several batches and replays of a lake")
def test_a_birth_that_lands_late_names_what_followed_it_after_a_replay(
    lake: Lake, at: Settings, deck: Deck, node: EdgeNode
) -> None:
    born, device = node.birth()
    swapped = (born[0], payload(metric("Load", "int", 1, alias=7, datatype=INT8)))
    deck.reels["reel"].record(born[1], key=b"elsewhere")
    send(deck, device, node.data(1))
    ingest(lake, STREAM, at)
    send(deck, swapped, (node.topic("NDATA"), payload(metric(None, "int", 2, alias=7))))
    ingest(lake, STREAM, at)
    assert names(lake) == [["Temp"], [None], ["Load"], ["Load"]]
    # An operator corrects where it was sent, and it lands.
    lake.query("update raw.rejects set event_key = ?", [born[0]])
    decode = decoder_of(STREAM, at)
    assert retry(lake, "plant", decode=decode).landed == 1
    assert again(lake, at).changed == 2, "a name, and the session of the device's birth"
    assert names(lake) == [["bdSeq", "Load"], ["Temp"], ["Load"], ["Load"], ["Load"]]
    send(deck, (node.topic("NDATA"), payload(metric(None, "int", 3, alias=7))))
    ingest(lake, STREAM, at)
    assert names(lake)[-1] == ["Load"], "what is newest still holds"
    assert not prove(lake, "plant").defects
