"""The journal of conditions: what opens, changes and closes survives any end of the process."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ingestion.errors import StorageError
from orchestration.conditions import journal as journals
from orchestration.conditions.condition import Finding
from orchestration.conditions.journal import JOURNAL_FILE, Journal, open_conditions, read_conditions
from orchestration.conditions.kinds import KINDS
from tests.repository import REPOSITORY

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=1)
DAEMON = Finding("service_down", "daemon", "daemon does not run", "It is started again.")
ORDERS = Finding("stream_paused", "orders", "Stream 'orders' stopped: a reason")


def test_a_condition_opens_once_changes_and_closes(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.note([ORDERS], now=NOON)
    journal.note([ORDERS, DAEMON], now=LATER)
    first, second = open_conditions(tmp_path)
    assert (first.finding, second.finding) == (DAEMON, ORDERS), "the more important kind is first"
    assert (second.opened, first.opened) == (NOON, LATER)
    other = Finding("stream_paused", "orders", "Stream 'orders' stopped: another reason")
    journal.note([other], now=LATER)
    (only,) = open_conditions(tmp_path)
    assert (only.number, only.finding, only.opened) == (second.number, other, NOON)
    journal.note([], now=LATER)
    assert open_conditions(tmp_path) == []
    assert [each.closed for each in read_conditions(tmp_path)] == [LATER, LATER]


def test_what_opens_again_is_another_condition(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for findings in ([ORDERS], [], [ORDERS]):
        journal.note(findings, now=NOON)
    assert [(each.number, each.closed) for each in read_conditions(tmp_path)] == [(1, NOON), (2, None)]


def test_kinds_of_which_nothing_is_known_stay_as_they_are(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.note([ORDERS, DAEMON], now=NOON)
    journal.note([], unknown=["stream_paused"], now=LATER)
    assert [each.finding for each in open_conditions(tmp_path)] == [ORDERS]


def test_a_new_process_goes_on_with_what_was_open(tmp_path: Path) -> None:
    Journal(tmp_path).note([ORDERS, DAEMON], now=NOON)
    journal = Journal(tmp_path)
    journal.note([ORDERS], now=LATER)
    assert [(each.finding, each.opened) for each in open_conditions(tmp_path)] == [(ORDERS, NOON)]


@pytest.mark.parametrize("length", range(1, 40, 3))
def test_a_torn_last_line_is_as_if_it_had_not_been_written(tmp_path: Path, length: int) -> None:
    Journal(tmp_path).note([ORDERS], now=NOON)
    file = tmp_path / JOURNAL_FILE
    with file.open("ab") as torn:
        torn.write(b'{"op": "close", "number": 1, "at": "2026-01-01T12:00:00+00:00"}'[:length])
    assert [each.finding for each in open_conditions(tmp_path)] == [ORDERS]
    Journal(tmp_path).note([ORDERS, DAEMON], now=LATER)
    assert [each.finding for each in open_conditions(tmp_path)] == [DAEMON, ORDERS]


def test_lines_that_nobody_understands_are_passed_over(tmp_path: Path) -> None:
    Journal(tmp_path).note([ORDERS], now=NOON)
    with (tmp_path / JOURNAL_FILE).open("ab") as file:
        file.write(
            b'nonsense\n[1]\n{"op": "later", "number": 1}\n{"op": "close", "number": 77, "at": "x"}\n\xff\n'
        )
        file.write(b'{"op": "open", "number": 9, "at": "2026-01-01", "name": "of_a_later_release"}\n')
    assert [each.finding for each in open_conditions(tmp_path)] == [ORDERS]


def test_the_file_keeps_a_bounded_length_and_all_that_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "_MOST_LINES", 50)
    monkeypatch.setattr(journals, "_KEPT_CLOSED", 5)
    journal = Journal(tmp_path)
    for number in range(200):
        journal.note([DAEMON] if number % 2 else [DAEMON, ORDERS], now=NOON + timedelta(seconds=number))
        journal.settle(journal.owed())
        assert len((tmp_path / JOURNAL_FILE).read_bytes().splitlines()) <= 51
    assert [each.finding for each in open_conditions(tmp_path)] == [DAEMON]
    assert open_conditions(tmp_path)[0].opened == NOON
    assert Journal(tmp_path).conditions.keys() == journal.conditions.keys()
    journal.note([DAEMON, ORDERS], now=LATER)
    assert max(journal.conditions) == 102, "a number is never given twice"


def test_what_is_to_be_posted_is_kept_up_to_a_bound_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "_MOST_LINES", 50)
    monkeypatch.setattr(journals, "_KEPT_CLOSED", 5)
    monkeypatch.setattr(journals, "_KEPT_OWED", 150)
    journal = Journal(tmp_path)

    def open_and_close(times: int) -> None:
        for number in range(2 * times):
            journal.note([] if number % 2 else [ORDERS], now=NOON + timedelta(seconds=number))

    open_and_close(100)
    assert [each.number for each in Journal(tmp_path).owed()] == list(range(1, 101))
    assert journal.given_up == 0
    open_and_close(400)
    reread = Journal(tmp_path)
    assert reread.given_up == journal.given_up > 0
    assert [each.number for each in reread.owed()] == list(range(journal.given_up + 1, 501))
    journal.settle(journal.owed()[:-1])
    assert [each.number for each in Journal(tmp_path).owed()] == [500]


def test_what_a_full_disk_refused_is_written_once_there_is_room(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    (tmp_path / JOURNAL_FILE).parent.mkdir()
    (tmp_path / JOURNAL_FILE).symlink_to("/dev/full")
    with pytest.raises(StorageError, match="No space left on device"):
        journal.note([ORDERS], now=NOON)
    assert [each.finding for each in journal.open()] == [ORDERS], "in memory it is open all the same"
    (tmp_path / JOURNAL_FILE).unlink()
    journal.note([ORDERS], now=LATER)
    assert [(each.finding, each.opened) for each in open_conditions(tmp_path)] == [(ORDERS, NOON)]


def test_every_kind_has_a_paragraph_in_the_manual() -> None:
    manual = (REPOSITORY / "docs" / "operations.md").read_text()
    assert [name for name in KINDS if f'<a id="{name.replace("_", "-")}"></a>' not in manual] == []


def test_a_kind_that_is_in_no_list_is_refused() -> None:
    with pytest.raises(ValueError, match="stands in no list"):
        Finding("unheard_of", "x", "y")
