"""A spool that does not continue the lake: refused with the way out, and the way out loses nothing else."""

import shutil
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import SecretStr

from ingestion.backup.backup import back_up, restore
from ingestion.clock import utc_now
from ingestion.declare.logs import open_log
from ingestion.declare.stream import Stream
from ingestion.errors import ConfigError, LogTruncated
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import prove
from ingestion.land.adoption import adopt
from ingestion.settings import Settings
from ingestion.spool.writer import SpoolEvent, SpoolWriter
from ingestion.upkeep.files import trim_spool
from ingestion.watch.recount import verify
from tests.ingestion.helpers import ingest, kafka_stream, positions_of

PLANT = Stream.model_validate({"name": "plant", "source": {"mqtt": "plant/#"}})


def collect(settings: Settings, numbers: Iterable[int], *, segment_bytes: int = 2**20) -> None:
    with closing(SpoolWriter(settings.data_dir / "spool" / "plant", segment_bytes=segment_bytes)) as writer:
        for number in numbers:
            writer.append([SpoolEvent(b"plant/1", b"%d" % number, None, number)])
            writer.commit()


def numbers(lake: Lake) -> list[int]:
    return [int(row[0]) for row in lake.query("select payload from raw.plant order by position")]


def spool(settings: Settings) -> Path:
    return settings.data_dir / "spool" / "plant"


def findings(lake: Lake, settings: Settings) -> str:
    with closing(open_log(PLANT, settings)) as log:
        counted = verify(lake, PLANT, log=log)
    return " ".join([*counted.findings, *(text for part in counted.partitions for text in part.findings)])


def test_a_lost_spool_is_told_and_the_new_one_adopted_goes_on_behind_it(
    lake: Lake, settings: Settings
) -> None:
    collect(settings, range(5))
    ingest(lake, PLANT, settings)
    collect(settings, range(5, 8))  # acknowledged, not in the lake, and about to be lost
    shutil.rmtree(spool(settings))
    with pytest.raises(LogTruncated, match=r"its spool is gone; .* 'millrace adopt plant'"):
        ingest(lake, PLANT, settings)
    assert "its spool is gone" in findings(lake, settings)
    with pytest.raises(ConfigError, match="has no spool yet"):
        adopt(lake, PLANT)
    collect(settings, range(10, 16))
    with pytest.raises(LogTruncated, match="made again and starts over"):
        ingest(lake, PLANT, settings)
    assert trim_spool(lake, PLANT) == 0

    adoption = adopt(lake, PLANT)
    assert (adoption.position, adoption.events) == (5, 6)
    assert "made again" in adoption.broken
    assert adopt(lake, PLANT).broken == ""
    assert ingest(lake, PLANT, settings).events_landed == 6
    collect(settings, range(16, 18))
    assert ingest(lake, PLANT, settings).events_landed == 2
    assert numbers(lake) == [0, 1, 2, 3, 4, *range(10, 18)]
    assert positions_of(lake, "plant") == [("plant-0", position) for position in range(13)]
    assert prove(lake, "plant").defects == ()
    assert findings(lake, settings) == ""


def test_what_is_adopted_is_trimmed_backed_up_and_lost_again(
    lake: Lake, settings: Settings, tmp_path: Path, new_database: Callable[[], str]
) -> None:
    collect(settings, range(3))
    ingest(lake, PLANT, settings)
    for first in (10, 20):
        shutil.rmtree(spool(settings))
        collect(settings, range(first, first + 4), segment_bytes=1)
        assert adopt(lake, PLANT).events == 4
        ingest(lake, PLANT, settings)
        assert len(list(spool(settings).glob("*.spool"))) == 1  # the newest stays
    collect(settings, [30])
    report = back_up(settings, tmp_path / "backups", now=utc_now())
    there = settings.model_copy(update={"data_dir": tmp_path / "there", "catalog": SecretStr(new_database())})
    restore(there, report.folder)
    with Lake(there) as restored:
        ingest(restored, PLANT, there)
        assert numbers(restored) == [0, 1, 2, *range(10, 14), *range(20, 24), 30]
        assert findings(restored, there) == ""


def test_an_older_copy_of_the_spool_repeats_nothing_when_it_is_adopted(
    lake: Lake, settings: Settings
) -> None:
    collect(settings, range(4))
    shutil.copytree(spool(settings), settings.data_dir / "copy")
    collect(settings, range(4, 8))
    ingest(lake, PLANT, settings)
    shutil.rmtree(spool(settings))
    shutil.move(settings.data_dir / "copy", spool(settings))
    with pytest.raises(LogTruncated, match="ends at 4, before our position 8: an older copy"):
        ingest(lake, PLANT, settings)
    assert adopt(lake, PLANT).events == 0
    collect(settings, [8])
    ingest(lake, PLANT, settings)
    assert numbers(lake) == list(range(9))
    assert positions_of(lake, "plant") == [("plant-0", position) for position in range(9)]


def test_segments_that_somebody_removed_are_a_gap_that_can_be_accepted(
    lake: Lake, settings: Settings
) -> None:
    collect(settings, range(2), segment_bytes=1)
    ingest(lake, PLANT, settings)
    collect(settings, range(2, 6), segment_bytes=1)
    for path in sorted(spool(settings).glob("*.spool"))[:3]:
        path.unlink()
    with pytest.raises(LogTruncated, match="unread events were removed"):
        ingest(lake, PLANT, settings)
    adopt(lake, PLANT)
    ingest(lake, PLANT, settings)
    landed = numbers(lake)
    assert landed[:2] == [0, 1]
    assert landed[2:] == list(range(6 - len(landed[2:]), 6))
    assert len(landed) < 6
    assert prove(lake, "plant").defects == ()


def test_a_spool_that_continues_the_lake_and_a_topic_are_left_alone(lake: Lake, settings: Settings) -> None:
    lake.prepare(["plant"])
    collect(settings, range(3))
    assert adopt(lake, PLANT).broken == ""
    ingest(lake, PLANT, settings)
    collect(settings, [3])
    assert (adopt(lake, PLANT).broken, adopt(lake, PLANT).events) == ("", 1)
    ingest(lake, PLANT, settings)
    assert numbers(lake) == [0, 1, 2, 3]
    with pytest.raises(ConfigError, match="only a collected stream has a spool"):
        adopt(lake, kafka_stream("orders"))
