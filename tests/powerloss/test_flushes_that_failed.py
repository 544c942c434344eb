"""One flush that fails, step by step: what a spool's writer does next, and whose word its readers take."""

import uuid
from contextlib import closing, suppress
from pathlib import Path

import pytest

from ingestion.errors import StorageError
from ingestion.spool import published
from ingestion.spool.frames import segments
from ingestion.spool.published import PUBLISHED_FILE, Publisher, read_published
from ingestion.spool.reader import SpoolReader
from ingestion.spool.writer import SpoolEvent, SpoolWriter
from tests.powerloss.disk import recording


def store(writer: SpoolWriter, value: bytes) -> None:
    writer.append([SpoolEvent(b"k", value, None, 0)])
    writer.commit()


def held_by(folder: Path) -> list[bytes]:
    with closing(SpoolReader(folder)) as reader:
        bounds = reader.bounds()
        assert bounds is not None
        chunks = list(reader.read(bounds.begin, bounds.end))
    return [value for _, chunk in chunks for value in chunk.column("value").to_pylist()]


def test_nothing_more_is_written_to_a_segment_whose_flush_failed(memory_folder: Path) -> None:
    root, image = memory_folder / "disk", memory_folder / "after"
    folder = root / "s"
    root.mkdir()
    with recording(root) as disk, closing(SpoolWriter(folder)) as writer:
        store(writer, b"first")
        disk.fail(0)
        with pytest.raises(StorageError, match="nothing unwritten was acknowledged"):
            store(writer, b"refused")
        store(writer, b"second")
        assert segments(folder) == [0, 1], "the next one begins a segment of its own"
        disk.lose_power(image, None)
    assert held_by(image / "s") == [b"first", b"second"]


def test_a_last_frame_that_was_never_flushed_is_written_again_when_its_spool_is_opened(
    memory_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was killed after the flush had failed: the frame is whole in memory, and not on the disk."""
    root, image = memory_folder / "disk", memory_folder / "after"
    root.mkdir()

    def killed(_writer: SpoolWriter) -> None:
        raise OSError

    with recording(root) as disk:
        writer = SpoolWriter(root / "s")
        store(writer, b"first")
        with monkeypatch.context() as patch:
            patch.setattr(SpoolWriter, "_cut", killed)
            disk.fail(0)
            with suppress(StorageError):
                store(writer, b"in memory")
        writer.close()
        with closing(SpoolWriter(root / "s")) as again:
            assert again.durable == 2, "it counts the frame, so it has to be there"
        disk.lose_power(image, None)
    assert held_by(image / "s") == [b"first", b"in memory"]


def test_a_position_is_vouched_for_by_the_same_log_since_the_same_start_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, other = uuid.uuid4().hex, uuid.uuid4().hex
    with closing(Publisher(tmp_path, log)) as publisher:
        publisher.publish(7)
    assert read_published(tmp_path, log) == 7
    assert read_published(tmp_path, other) is None
    with monkeypatch.context() as patch:
        later = uuid.uuid4()
        patch.setattr(published, "machine_start", lambda: later)
        assert read_published(tmp_path, log) is None
    file = tmp_path / PUBLISHED_FILE
    content = bytearray(file.read_bytes())
    content[50] ^= 1
    file.write_bytes(content)
    assert read_published(tmp_path, log) is None


def test_folders_that_a_killed_writer_made_are_flushed_by_the_next_one(memory_folder: Path) -> None:
    """They are there, so nobody makes them again, and nobody has flushed their names."""
    root, image = memory_folder / "disk", memory_folder / "after"
    root.mkdir()
    with recording(root) as disk:
        (root / "spool" / "s").mkdir(parents=True)
        with closing(SpoolWriter(root / "spool" / "s")) as writer:
            store(writer, b"first")
        disk.lose_power(image, None)
    assert held_by(image / "spool" / "s") == [b"first"]
