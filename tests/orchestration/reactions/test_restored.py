"""What a backup holds of conditions and reactions: a restored system says nothing twice, and what is new."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from orchestration.conditions.journal import Journal
from orchestration.reactions import kept as backed_up
from orchestration.reactions.entries import LEDGER_FILE
from orchestration.reactions.kept import kept
from tests.orchestration.reactions.desk import DISK, EVENTS, MODEL, NOON, Desk
from tests.servers.receiver import Receiver
from tests.waiting import eventually

LATER = NOON + timedelta(minutes=1)
PAGER = "pager: {send: {webhook: {url_env: PAGER_URL}}}\n"


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with Receiver() as receiver:
        monkeypatch.setenv("PAGER_URL", receiver.url)
        yield receiver


def desk(folder: Path) -> Desk:
    folder.mkdir(exist_ok=True)
    (folder / "reactions.yml").write_text(PAGER)
    return Desk(folder)


def delivered(desk: Desk, count: int) -> None:
    eventually(lambda: len(desk.entries("delivered")) == count, f"{count} were delivered")


def restored(files: dict[str, bytes], folder: Path) -> Desk:
    for name, content in files.items():
        path = folder / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return desk(folder)


def test_a_restored_system_sends_what_is_over_and_what_is_new_and_nothing_twice(
    tmp_path: Path, receiver: Receiver
) -> None:
    with desk(tmp_path / "here").sending() as first:
        first.note([MODEL])
        delivered(first, 1)
        files = kept(first.settings.data_dir)
        first.note([MODEL, DISK])  # after the backup
        delivered(first, 2)
    with restored(files, tmp_path / "there").sending() as second:
        second.note([MODEL], now=LATER)
        second.note([], now=LATER)
        delivered(second, 2)
        second.note([DISK], now=LATER)  # another one that the old system has not heard of
        delivered(second, 3)
    assert [each["subject"] for each in receiver.alerts()] == [
        "marts/orders",
        "/data",
        "marts/orders",
        "/data",
    ]
    opened, closed = (each for each in receiver.alerts() if each["subject"] == "marts/orders")
    assert (opened["event"], closed["event"]) == EVENTS
    assert opened["key"].removesuffix("-opened-pager") == closed["key"].removesuffix("-closed-pager")
    of_disk = {each["key"] for each in receiver.alerts() if each["subject"] == "/data"}
    assert len(of_disk) == 2, "whoever drops keys that he has seen must not drop another condition"


def test_the_copy_is_of_one_moment_though_a_system_writes(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = desk(tmp_path / "here")
    at.note([MODEL])
    read, reads = backed_up.read_lines, []

    def reading(path: Path) -> object:
        reads.append(path.name)
        found = list(read(path))
        if len(reads) == 2:  # between the journal and the second look at the ledger
            at.note([MODEL, DISK])
        return iter(found)

    monkeypatch.setattr(backed_up, "read_lines", reading)
    files = kept(at.settings.data_dir)
    there = restored(files, tmp_path / "there")
    assert {each.notice.content["subject"] for each in there.entries()} == {"marts/orders", "/data"}
    journal = Journal(there.settings.data_dir).conditions.values()
    assert {each.finding.subject for each in journal} == {"marts/orders", "/data"}


def test_a_folder_where_nothing_ran_yet_gives_nothing(tmp_path: Path) -> None:
    assert kept(tmp_path) == {}
    assert not (tmp_path / LEDGER_FILE).exists()
