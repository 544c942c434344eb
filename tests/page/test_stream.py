"""The page of a stream: what was rejected, what was sent, and what became of it."""

from datetime import UTC, datetime

from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.land.resolutions import resolve
from ingestion.settings import Settings
from ingestion.spool.writer import SpoolEvent, SpoolWriter
from orchestration.page.actions import for_viewers
from orchestration.page.content import SHOWN_BYTES, read_stream
from orchestration.page.look import Look
from orchestration.page.views.stream import stream_tiles
from orchestration.records.overview import Overview
from tests.ingestion.helpers import ingest
from tests.page.reading import shown

STREAM = Stream.model_validate({"name": "things", "source": {"mqtt": "t/#"}, "fields": {"n": "bigint"}})
LOOK = Look(datetime.now(UTC), Overview("/data", running=True, demo=False, ui_url=""))
LONG = b"<" + b"x" * 2 * SHOWN_BYTES


def test_a_reject_shows_what_was_sent_and_then_what_became_of_it(settings: Settings, lake: Lake) -> None:
    writer = SpoolWriter(settings.data_dir / "spool" / STREAM.name)
    at = int(datetime.now(UTC).timestamp() * 1e6)
    writer.append([SpoolEvent(b"t/1", value, None, at) for value in (b'{"n": 1}', b"<torn", b"\xff", LONG)])
    writer.commit()
    ingest(lake, STREAM, settings)
    writer.close()

    content = read_stream(settings, lake, STREAM)
    tiles = stream_tiles(LOOK, content, name=STREAM.name)
    text = shown(tiles["rejects"])
    assert len(content.rejects) == 3
    assert "<torn" in text
    assert r"\xff" in text
    assert len(content.sent[content.rejects[0].event_id]) == SHOWN_BYTES
    assert "<torn" not in tiles["rejects"], "it is escaped"
    assert tiles["rejects"].count("<button") == 2 * 3 + 1 + 2
    assert "button" not in for_viewers(tiles)["rejects"]
    assert "resolved" not in tiles

    first, *others = content.rejects
    resolve(lake, STREAM.name, note="a broken <sender>", event_ids=[first.event_id])
    again = read_stream(settings, lake, STREAM)
    assert again.rejects == tuple(others)
    said = shown(stream_tiles(LOOK, again, name=STREAM.name)["resolved"])
    assert f"{first.event_id} {first.reason} dismissed" in said
    assert "a broken <sender>" in said
