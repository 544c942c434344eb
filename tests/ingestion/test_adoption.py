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
from ingestion.land import adoption as adoption_module
from ingestion.land.adoption import adopt
from ingestion.settings import Settings
from ingestion.spool.writer import SpoolEvent, SpoolWriter
from ingestion.upkeep.files import trim_spool
from ingestion.watch.lag import LagMeter
from ingestion.watch.recount import verify
from orchestration.cli.examine_sources import sources
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
    with pytest.raises(LogTruncated, match="ends at 4, and it held positions up to 8: an older copy"):
        ingest(lake, PLANT, settings)
    assert adopt(lake, PLANT).events == 0
    collect(settings, [8])
    ingest(lake, PLANT, settings)
    assert numbers(lake) == list(range(9))
    assert positions_of(lake, "plant") == [("plant-0", position) for position in range(9)]


def put_back(copy: Path, settings: Settings) -> None:
    """An older copy in place of the spool, which stays beside it."""
    shutil.move(spool(settings), settings.data_dir / "newer")
    shutil.copytree(copy, spool(settings))


def test_an_older_copy_that_was_written_on_is_refused_however_far_it_reaches(
    lake: Lake, settings: Settings, tmp_path: Path
) -> None:
    collect(settings, range(4))
    shutil.copytree(spool(settings), tmp_path / "copy")
    collect(settings, range(4, 8))
    ingest(lake, PLANT, settings)
    collect(settings, range(8, 10))
    put_back(tmp_path / "copy", settings)
    collect(settings, range(20, 23))  # fewer than are in the lake: nobody has seen them
    assert "it held positions up to 8" in findings(lake, settings)
    collect(settings, range(23, 30))  # more
    refused = "other events than it held before our position 8 or after it: an older copy"
    with pytest.raises(LogTruncated, match=refused):
        ingest(lake, PLANT, settings)
    assert refused in findings(lake, settings)
    assert [each.state for each in sources(settings, [PLANT])] == ["problem"]
    assert trim_spool(lake, PLANT) == 0

    # The first four are in the lake; each of the others is brought there.
    adoption = adopt(lake, PLANT)
    assert (adoption.skipped, adoption.events, adoption.position, adoption.lost) == (4, 10, 8, 0)
    assert adopt(lake, PLANT).broken == ""
    assert ingest(lake, PLANT, settings).events_landed == 10
    assert numbers(lake) == [*range(8), *range(20, 30)]
    assert prove(lake, "plant").defects == ()
    assert findings(lake, settings) == ""

    # The newer one again, which the lake has left: what is in it and not in the lake is read then.
    shutil.rmtree(spool(settings))
    shutil.move(settings.data_dir / "newer", spool(settings))
    with pytest.raises(LogTruncated, match="'millrace adopt plant'"):
        ingest(lake, PLANT, settings)
    adoption = adopt(lake, PLANT)
    assert (adoption.skipped, adoption.events) == (8, 2)
    ingest(lake, PLANT, settings)
    assert numbers(lake) == [*range(8), *range(20, 30), 8, 9]


def test_what_was_seen_and_not_read_is_lost_and_the_ledger_goes_on_saying_so(
    lake: Lake, settings: Settings, tmp_path: Path
) -> None:
    lake.settings = settings.replaced(batch_max_events=3)
    collect(settings, range(4))
    shutil.copytree(spool(settings), tmp_path / "copy")
    collect(settings, range(4, 9))
    ingest(lake, PLANT, settings)  # it reads 0 to 2 and sees nine
    put_back(tmp_path / "copy", settings)
    assert "it held positions up to 9" in findings(lake, settings)
    collect(settings, range(20, 28))
    for _ in range(2):
        with pytest.raises(LogTruncated, match="older copy that was written on"):
            ingest(lake, PLANT, settings)
    adoption = adopt(lake, PLANT)
    assert (adoption.skipped, adoption.position, adoption.events, adoption.lost) == (3, 9, 9, 6)
    lake.settings = settings
    ingest(lake, PLANT, settings)
    assert numbers(lake) == [*range(4), *range(20, 28)]
    assert prove(lake, "plant").defects == ()
    assert "6 positions are lost" in findings(lake, settings)


def test_the_right_spool_again_after_an_older_copy_was_adopted_loses_nothing(
    lake: Lake, settings: Settings, tmp_path: Path
) -> None:
    lake.settings = settings.replaced(batch_max_events=3)
    collect(settings, range(3))
    shutil.copytree(spool(settings), tmp_path / "copy")
    collect(settings, range(3, 9))
    ingest(lake, PLANT, settings)
    put_back(tmp_path / "copy", settings)
    # It ends at our position: nothing seems unread, and a run has to find the error all the same.
    with closing(LagMeter(settings, lake, timeout_seconds=5, clock=utc_now)) as meter:
        (lag,) = meter.measure([PLANT])
    assert (lag.events, lag.replaced, lag.has_work) == (0, True, True)
    assert (adopt(lake, PLANT).position, adopt(lake, PLANT).broken) == (9, "")
    shutil.rmtree(spool(settings))
    shutil.move(settings.data_dir / "newer", spool(settings))
    # It ends where the lake goes on, and the six events before that are not in the lake.
    lake.settings = settings
    with pytest.raises(LogTruncated, match="'millrace adopt plant'"):
        ingest(lake, PLANT, settings)
    assert (adopt(lake, PLANT).skipped, adopt(lake, PLANT).events) == (3, 6)
    ingest(lake, PLANT, settings)
    assert numbers(lake) == list(range(9))


def test_an_older_lake_goes_on_with_the_newer_spool_and_a_newer_one_does_not_with_the_older(
    lake: Lake, settings: Settings, tmp_path: Path, new_database: Callable[[], str]
) -> None:
    collect(settings, range(3))
    ingest(lake, PLANT, settings)
    collect(settings, range(3, 5))  # acknowledged, and in the backup's spool only
    backup = back_up(settings, tmp_path / "backups", now=utc_now())
    there = settings.model_copy(update={"data_dir": tmp_path / "there", "catalog": SecretStr(new_database())})
    restore(there, backup.folder)
    collect(settings, range(5, 8))
    ingest(lake, PLANT, settings)
    collect(settings, [8])

    collect(there, range(30, 36))
    with Lake(there) as older:
        # Both of one backup belong together.
        ingest(older, PLANT, there)
        assert numbers(older) == [*range(5), *range(30, 36)]
        # The older lake goes on, and with the newer spool it is refused: at its position are other events.
        shutil.move(spool(there), tmp_path / "restored")
        shutil.copytree(spool(settings), spool(there))
        with pytest.raises(LogTruncated, match="an older copy"):
            ingest(older, PLANT, there)
        assert adopt(older, PLANT).events == 4
        ingest(older, PLANT, there)
        assert numbers(older) == [*range(5), *range(30, 36), *range(5, 9)]
    # The newer lake with the spool that was restored and written on.
    put_back(tmp_path / "restored", settings)
    with pytest.raises(LogTruncated, match="older copy that was written on"):
        ingest(lake, PLANT, settings)
    assert adopt(lake, PLANT).events == 6
    ingest(lake, PLANT, settings)
    assert numbers(lake) == [*range(8), *range(30, 36)]


def test_an_adoption_that_was_killed_is_done_again(
    lake: Lake, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collect(settings, range(2))
    shutil.copytree(spool(settings), tmp_path / "copy")
    collect(settings, range(2, 4))
    ingest(lake, PLANT, settings)
    put_back(tmp_path / "copy", settings)
    collect(settings, range(20, 25))

    def killed(*_: object, **__: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(adoption_module.Loader, "load", killed)
        with pytest.raises(SystemExit):
            adopt(lake, PLANT)
    with pytest.raises(LogTruncated, match="'millrace adopt plant'"):
        ingest(lake, PLANT, settings)
    assert (adopt(lake, PLANT).skipped, adopt(lake, PLANT).broken) == (2, "")
    ingest(lake, PLANT, settings)
    assert numbers(lake) == [*range(4), *range(20, 25)]


def test_a_ledger_from_before_the_proofs_goes_on_and_gets_them_with_the_next_batch(
    lake: Lake, settings: Settings
) -> None:
    collect(settings, range(2))
    ingest(lake, PLANT, settings)
    lake.query("update raw.batches set last_event = null, log_end_proof = null")
    collect(settings, range(2, 4))
    assert ingest(lake, PLANT, settings).events_landed == 2
    (found,) = lake.query("select last_event, log_end_proof from raw.batches where batch_id = 2")
    assert found[0].startswith("1:3:")
    assert "3+1:" in found[1]


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
    adoption = adopt(lake, PLANT)
    ingest(lake, PLANT, settings)
    landed = numbers(lake)
    assert adoption.lost == 6 - len(landed)
    assert positions_of(lake, "plant") == [("plant-0", number) for number in landed]
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
