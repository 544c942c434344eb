"""Up to where a spool's writer vouches for it: of this log, since this start of the machine, read whole."""

import uuid
from pathlib import Path

import pytest

from ingestion.spool import published
from ingestion.spool.published import PUBLISHED_FILE, Publisher, read_published

OURS, ANOTHER = uuid.uuid4().hex, uuid.uuid4().hex


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    publisher = Publisher(tmp_path, OURS)
    publisher.publish(3)
    publisher.publish(7)
    publisher.close()
    return tmp_path


def test_the_last_word_counts_for_its_own_log(folder: Path, tmp_path: Path) -> None:
    assert read_published(folder, OURS) == 7
    assert read_published(folder, ANOTHER) is None
    assert read_published(tmp_path / "nothing", OURS) is None


def test_after_a_start_of_the_machine_nobody_has_vouched(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published, "machine_start", uuid.uuid4)
    assert read_published(folder, OURS) is None


@pytest.mark.parametrize("byte", [0, 20, 48, -5, -1])
def test_what_is_half_written_is_not_believed(folder: Path, byte: int) -> None:
    content = bytearray((folder / PUBLISHED_FILE).read_bytes())
    content[byte] ^= 1
    (folder / PUBLISHED_FILE).write_bytes(content)
    assert read_published(folder, OURS) is None
    (folder / PUBLISHED_FILE).write_bytes(content[:30])
    assert read_published(folder, OURS) is None
