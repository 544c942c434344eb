"""Messages that no stream took: kept, counted, given to a stream once, or discarded."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ingestion.connectors.mqtt.filters import matches
from ingestion.declare.logs import open_log
from ingestion.declare.stream import Stream
from ingestion.errors import StreamBusy
from ingestion.faultpoints import install_hook
from ingestion.formats.decode import decoder
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import prove
from ingestion.land.unrouted import Chosen, Given, discard, give, topics
from ingestion.settings import Settings
from ingestion.spool.unrouted import Settled, count_open, unrouted_name
from ingestion.spool.writer import SpoolEvent, SpoolWriter
from ingestion.watch.recount import verify
from tests.ingestion.helpers import ingest

PLANT = Stream.model_validate({"name": "plant", "source": {"mqtt": "plant/#"}})


@pytest.fixture
def kept(lake: Lake, settings: Settings) -> Iterator[Path]:
    """Ten messages, every second one of another topic; each is a segment of its own."""
    lake.prepare([PLANT.name])
    folder = settings.data_dir / "spool" / unrouted_name("collector")
    with closing(SpoolWriter(folder, segment_bytes=1)) as writer:
        for number in range(10):
            topic = (b"plant/1", b"other")[number % 2]
            writer.append([SpoolEvent(topic, b"%d" % number, None, number)])
            writer.commit()
    yield folder
    install_hook(None)


def under(topic_filter: str) -> Chosen:
    return lambda topic: matches(topic_filter, topic)


def given(lake: Lake, folder: Path, chosen: Chosen) -> Given:
    return give(lake, PLANT.name, folder, chosen=chosen, decode=decoder("json"))


def landed(lake: Lake) -> list[int]:
    return sorted(int(row[0]) for row in lake.query("select payload from raw.plant"))


def collect(settings: Settings, *payloads: bytes) -> None:
    with closing(SpoolWriter(settings.data_dir / "spool" / PLANT.name)) as writer:
        writer.append([SpoolEvent(b"plant/1", payload, None, 1) for payload in payloads])
        writer.commit()


def test_they_are_given_once_and_the_stream_goes_on(lake: Lake, settings: Settings, kept: Path) -> None:
    assert [(each.topic, each.messages) for each in topics(kept)] == [("other", 5), ("plant/1", 5)]
    collect(settings, b"100")
    ingest(lake, PLANT, settings)
    assert (given(lake, kept, under("plant/#")).landed, count_open(kept)) == (5, 5)
    assert given(lake, kept, under("plant/#")).landed == 0
    collect(settings, b"101")
    assert (
        ingest(lake, PLANT, settings).events_landed == 1
    )  # the stream's own log is not the one that was given
    assert given(lake, kept, under("other")).landed == 5
    assert (topics(kept), count_open(kept)) == ([], 0)
    assert landed(lake) == [*range(10), 100, 101]
    assert prove(lake, PLANT.name).defects == ()
    with closing(open_log(PLANT, settings)) as log:
        counted = verify(lake, PLANT, log=log)
    assert counted.verdict == "ok", counted
    assert len(list(kept.glob("*.spool"))) == 1  # what was given needs no room


def test_killed_between_the_commit_and_its_note_they_are_not_given_twice(lake: Lake, kept: Path) -> None:
    def die(place: str) -> None:
        if place == "loader.committed":
            raise KeyboardInterrupt

    install_hook(die)
    with pytest.raises(KeyboardInterrupt):
        given(lake, kept, under("plant/#"))
    install_hook(None)
    assert (landed(lake), count_open(kept)) == ([0, 2, 4, 6, 8], 10)
    assert given(lake, kept, under("plant/#")).landed == 0
    assert (landed(lake), count_open(kept)) == ([0, 2, 4, 6, 8], 5)


def test_what_does_not_decode_stays_and_may_be_discarded(lake: Lake, settings: Settings, kept: Path) -> None:
    with closing(SpoolWriter(kept)) as writer:
        writer.append([SpoolEvent(b"plant/1", b"{", None, 1), SpoolEvent(b"\xff", b"1", None, 1)])
        writer.commit()
    report = given(lake, kept, under("plant/#"))
    assert (report.landed, report.undecodable, count_open(kept)) == (5, 1, 7)
    assert discard(kept, chosen=under("other")) == 5
    assert [(each.topic, each.messages) for each in topics(kept)] == [("plant/1", 1), ("\ufffd", 1)]
    assert discard(kept, chosen=lambda _: True) == 2
    assert count_open(kept) == 0


def test_a_spool_that_was_made_again_is_another_one(lake: Lake, kept: Path) -> None:
    given(lake, kept, lambda _: True)
    for path in [*kept.glob("*.spool"), kept / "log_id"]:
        path.unlink()
    with closing(SpoolWriter(kept)) as writer:
        writer.append([SpoolEvent(b"plant/1", b"77", None, 1)])
        writer.commit()
    assert given(lake, kept, lambda _: True).landed == 1
    assert landed(lake) == [*range(10), 77]
    assert prove(lake, PLANT.name).defects == ()


def test_two_do_not_give_from_one_spool_at_once(lake: Lake, kept: Path) -> None:
    def second(place: str) -> None:
        if place == "loader.committed":
            discard(kept, chosen=lambda _: True)

    install_hook(second)
    with pytest.raises(StreamBusy, match="is in use by process"):
        given(lake, kept, under("plant/#"))


def test_settled_positions_are_ranges() -> None:
    settled = Settled("x").with_([0, 1, 2, 5]).with_([3, 9])
    assert settled.ranges == ((0, 4), (5, 6), (9, 10))
    assert [at for at in range(11) if settled.holds(at)] == [0, 1, 2, 3, 5, 9]
    assert (settled.count(2, 10), settled.first_open(0), settled.first_open(4)) == (4, 4, 4)
