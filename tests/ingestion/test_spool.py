"""The spool on a real disk: what was committed is read back, whatever happened in between."""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.declare.stream import Stream
from ingestion.errors import LogTruncated, StorageError, StreamBusy
from ingestion.log.envelope import SOURCE_SCHEMA
from ingestion.log.port import Window
from ingestion.spool.frames import HEADER_BYTES, SEGMENT_HEADER_BYTES, SpoolCorrupt, segment_path, segments
from ingestion.spool.log import SpoolLog
from ingestion.spool.mark import FrameMark
from ingestion.spool.reader import SpoolReader
from ingestion.spool.writer import SpoolEvent, SpoolWriter

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PROJECT = Path(__file__).resolve().parents[2]


def event(value: bytes | None, *, key: bytes = b"plant/line-1", received_us: int = 0) -> SpoolEvent:
    return SpoolEvent(key, value, '{"qos":1}', received_us)


def numbered(first: int, count: int) -> list[SpoolEvent]:
    return [event(str(number).encode(), received_us=number) for number in range(first, first + count)]


def read_all(folder: Path, start: int | None = None, end: int | None = None) -> list[bytes | None]:
    reader = SpoolReader(folder)
    bounds = reader.bounds()
    assert bounds is not None
    start = bounds.begin if start is None else start
    end = bounds.end if end is None else end
    values: list[bytes | None] = []
    for first, table in reader.read(start, end, chunk_events=7):
        assert first == start + len(values)
        values += table["value"].to_pylist()
    reader.close()
    return values


def write(folder: Path, commits: Sequence[int], *, segment_bytes: int = 2**20) -> None:
    writer = SpoolWriter(folder, segment_bytes=segment_bytes)
    for count in commits:
        writer.append(numbered(writer.position, count))
        writer.commit()
    writer.close()


values = st.one_of(st.none(), st.binary(max_size=40), st.binary(min_size=500, max_size=900))
operations = st.one_of(
    st.tuples(st.just("commit"), st.lists(values, max_size=8)),
    st.tuples(st.just("reopen"), st.none()),
    st.tuples(st.just("trim"), st.integers(0, 60)),
    st.tuples(st.just("read"), st.tuples(st.integers(0, 60), st.integers(0, 60))),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(operations, max_size=25), st.sampled_from([1, 1500, 2**20]))
def test_behaves_like_a_list_with_positions(steps: list[tuple[str, object]], segment_bytes: int) -> None:
    expected: list[bytes | None] = []
    begin = 0
    with tempfile.TemporaryDirectory() as base:
        folder = Path(base) / "stream"
        writer = SpoolWriter(folder, segment_bytes=segment_bytes)
        reader = SpoolReader(folder)
        for step, argument in steps:
            if step == "commit":
                assert isinstance(argument, list)
                positions = writer.append([event(value) for value in argument])
                assert positions == range(len(expected), len(expected) + len(argument))
                expected += argument
                assert writer.commit() == len(expected)
            elif step == "reopen":
                log_id = writer.log_id
                writer.close()
                writer = SpoolWriter(folder, segment_bytes=segment_bytes)
                assert (writer.position, writer.log_id) == (len(expected), log_id)
            elif step == "trim":
                assert isinstance(argument, int)
                reader.trim(argument)
            else:
                assert isinstance(argument, tuple)
                start, end = max(min(argument), begin), min(max(argument), len(expected))
                if start <= end:
                    assert read_all(folder, start, end) == expected[start:end]
            bounds = reader.bounds()
            assert bounds is not None
            assert bounds.end == len(expected)
            assert bounds.begin >= begin
            if step == "trim":
                assert bounds.begin <= max(begin, argument)  # type: ignore[type-var]
            begin = bounds.begin
        assert read_all(folder) == expected[begin:]
        writer.close()
        reader.close()


def test_a_window_begins_and_ends_anywhere_in_a_frame(tmp_path: Path) -> None:
    values = [b"%d" % number for number in range(6)]
    with closing(SpoolWriter(tmp_path / "s")) as writer:
        for first in (0, 3):
            writer.append([event(value) for value in values[first : first + 3]])
            writer.commit()
    for start in range(7):
        for end in range(start, 7):
            assert read_all(tmp_path / "s", start, end) == values[start:end]


def test_all_columns_come_back(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path / "s")
    moment = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
    received_us = (moment - EPOCH) // timedelta(microseconds=1)
    writer.append([SpoolEvent("plant/ä".encode(), bytes(range(256)), None, received_us)])
    writer.commit()
    ((_, table),) = SpoolReader(tmp_path / "s").read(0, 1)
    assert table.to_pylist() == [
        {
            "event_key": "plant/ä".encode(),
            "value": bytes(range(256)),
            "headers": None,
            "event_time": moment,
        }
    ]


def test_small_frames_are_read_together_until_a_chunk_is_full(tmp_path: Path) -> None:
    write(tmp_path / "s", [2] * 5)
    with closing(SpoolReader(tmp_path / "s")) as reader:
        by_events = [(first, table.num_rows) for first, table in reader.read(0, 10, chunk_events=3)]
        by_bytes = [(first, table.num_rows) for first, table in reader.read(0, 10, chunk_bytes=1)]
    assert by_events == [(0, 4), (4, 4), (8, 2)]
    assert by_bytes == [(0, 2), (2, 2), (4, 2), (6, 2), (8, 2)]


def test_a_tail_torn_at_any_byte_is_not_there_and_then_cut(tmp_path: Path) -> None:
    write(tmp_path / "whole", [3])
    first_frame = segment_path(tmp_path / "whole", 0).stat().st_size
    write(tmp_path / "whole", [2])
    size = segment_path(tmp_path / "whole", 0).stat().st_size
    for cut in range(first_frame, size):
        folder = tmp_path / "torn"
        shutil.copytree(tmp_path / "whole", folder)
        os.truncate(segment_path(folder, 0), cut)
        assert read_all(folder) == [b"0", b"1", b"2"]
        writer = SpoolWriter(folder)
        assert writer.position == 3
        assert segment_path(folder, 0).stat().st_size == first_frame
        writer.append([event(b"again")])
        writer.commit()
        writer.close()
        assert read_all(folder) == [b"0", b"1", b"2", b"again"]
        shutil.rmtree(folder)


@pytest.mark.parametrize("tail", [b"\0" * 4096, b"MRSP" * 300, b"\xff" * 31])
def test_a_tail_of_rubbish_after_a_power_loss_is_cut(tmp_path: Path, tail: bytes) -> None:
    write(tmp_path / "s", [3])
    with segment_path(tmp_path / "s", 0).open("ab") as file:
        file.write(tail)
    assert read_all(tmp_path / "s") == [b"0", b"1", b"2"]
    write(tmp_path / "s", [1])
    assert read_all(tmp_path / "s") == [b"0", b"1", b"2", b"3"]


def test_a_torn_payload_that_imitates_frames_is_still_a_torn_tail(tmp_path: Path) -> None:
    write(tmp_path / "other", [5, 5, 5])
    forged = segment_path(tmp_path / "other", 0).read_bytes()
    writer = SpoolWriter(tmp_path / "s")
    writer.append([event(forged), event(b"y" * 100)])
    writer.commit()
    writer.close()
    os.truncate(segment_path(tmp_path / "s", 0), segment_path(tmp_path / "s", 0).stat().st_size - 8)
    assert read_all(tmp_path / "s") == []
    assert SpoolWriter(tmp_path / "s").position == 0


def test_any_flipped_byte_before_the_last_frame_is_an_error_and_never_silent(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    write(folder, [2, 2])
    middle = segment_path(folder, 0).stat().st_size
    write(folder, [2])
    path = segment_path(folder, 0)
    original = path.read_bytes()
    for at in range(middle):
        path.write_bytes(original[:at] + bytes([original[at] ^ 0x10]) + original[at + 1 :])
        damaged = pytest.raises(SpoolCorrupt, match=f"{path.name} is damaged at byte .*restore")
        with closing(SpoolReader(folder)) as reader, damaged:
            reader.bounds()
        with pytest.raises(SpoolCorrupt):
            SpoolWriter(folder)
    assert path.stat().st_size == len(original)


def test_damage_in_an_older_segment_is_found_when_it_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    write(folder, [2, 2, 2], segment_bytes=1)
    assert segments(folder) == [0, 2, 4]
    path = segment_path(folder, 2)
    original = path.read_bytes()
    for at in (0, SEGMENT_HEADER_BYTES, SEGMENT_HEADER_BYTES + HEADER_BYTES, len(original) - 1):
        path.write_bytes(original[:at] + bytes([original[at] ^ 1]) + original[at + 1 :])
        with pytest.raises(SpoolCorrupt, match=f"{path.name} is damaged at byte"):
            read_all(folder)
        assert read_all(folder, 4, 6) == [b"4", b"5"]
    path.write_bytes(original[:-1])
    with pytest.raises(SpoolCorrupt):
        read_all(folder)
    path.unlink()
    with pytest.raises(SpoolCorrupt):
        read_all(folder)


def test_a_segment_of_another_log_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a", [2, 2])
    write(tmp_path / "b", [2, 2])
    shutil.copy(tmp_path / "a" / "log_id", tmp_path / "b" / "log_id")
    with pytest.raises(SpoolCorrupt):
        SpoolReader(tmp_path / "b").bounds()
    with pytest.raises(SpoolCorrupt):
        SpoolWriter(tmp_path / "b")


@pytest.mark.parametrize("header", [b"", b"0123", b"\0" * 32])
def test_a_segment_that_a_crash_left_without_its_header_is_begun_again(tmp_path: Path, header: bytes) -> None:
    folder = tmp_path / "s"
    write(folder, [2, 2], segment_bytes=1)
    segment_path(folder, 4).write_bytes(header)
    assert read_all(folder) == [b"0", b"1", b"2", b"3"]
    write(folder, [2])
    assert segments(folder) == [0, 2, 4]
    assert read_all(folder) == [b"0", b"1", b"2", b"3", b"4", b"5"]


def test_one_writer_at_a_time_and_the_second_learns_who(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path / "s")
    with pytest.raises(StreamBusy, match=f"'s' .* process {os.getpid()}; stop that one"):
        SpoolWriter(tmp_path / "s")
    writer.close()
    SpoolWriter(tmp_path / "s").close()


def test_the_position_survives_trimming_of_everything(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    write(folder, [4, 4, 4], segment_bytes=1)
    reader = SpoolReader(folder)
    assert reader.trim(12) == 2
    assert reader.trim(12) == 0
    assert segments(folder) == [8]
    write(folder, [1], segment_bytes=1)
    assert reader.trim(13) == 1
    bounds = reader.bounds()
    assert bounds is not None
    assert (bounds.begin, bounds.end) == (12, 13)
    with pytest.raises(LogTruncated, match="holds 12 to 13, not 8 to 13"):
        list(reader.read(8, 13))


def test_a_lost_log_gets_another_identity(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    writer = SpoolWriter(folder)
    first = writer.log_id
    writer.close()
    shutil.rmtree(folder)
    writer = SpoolWriter(folder)
    second = writer.log_id
    writer.close()
    segment_path(folder, 0).unlink()
    writer = SpoolWriter(folder)
    assert len({first, second, writer.log_id}) == 3
    assert writer.position == 0
    writer.append([event(b"x")])
    writer.commit()
    writer.close()
    (folder / "log_id").unlink()
    with pytest.raises(SpoolCorrupt, match="log_id is missing"):
        SpoolWriter(folder)


WRITER = """
import sys
from pathlib import Path
from ingestion.spool.writer import SpoolEvent, SpoolWriter
writer = SpoolWriter(Path(sys.argv[1]), segment_bytes=20_000)
print("open", writer.position, flush=True)
size = 1
while True:
    size = size * 7 % 53 + 1
    first = writer.position
    writer.append(SpoolEvent(b"k", str(p).encode(), None, p) for p in range(first, first + size))
    print(writer.commit(), flush=True)
"""


def test_kill_9_at_random_points_loses_nothing_acknowledged(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    folder = tmp_path / "s"
    acknowledged = 0
    for _ in range(8):
        child = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True, cwd=PROJECT
        )
        assert child.stdout is not None
        opened = child.stdout.readline().split()
        assert int(opened[1]) >= acknowledged, f"seed {seed}"
        for _ in range(chance.randrange(1, 60)):
            acknowledged = int(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
        rest = child.communicate()[0].splitlines()
        acknowledged = int(rest[-1]) if rest else acknowledged
        found = read_all(folder)
        assert len(found) >= acknowledged, f"seed {seed}"
        assert found == [str(position).encode() for position in range(len(found))], f"seed {seed}"


DISK_FULL = """
import resource, sys
from pathlib import Path
from ingestion.errors import StorageError
from ingestion.spool.writer import SpoolEvent, SpoolWriter
writer = SpoolWriter(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
event = SpoolEvent(b"k", b"x" * 700, None, 0)
try:
    while True:
        writer.append([event] * 3)
        writer.commit()
except StorageError as error:
    print(writer.durable, (Path(sys.argv[1]) / f"{0:020d}.spool").stat().st_size, error, sep="|")
for _ in range(2):
    try:
        writer.append([event] * 3)
        writer.commit()
        print("committed")
    except StorageError:
        print("refused")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(writer.append([event] * 3), writer.commit())
"""


def test_a_full_disk_refuses_the_commit_and_keeps_what_was_there(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    result = subprocess.run(
        [sys.executable, "-c", DISK_FULL, str(folder)],
        capture_output=True,
        text=True,
        cwd=PROJECT,
        check=True,
    )
    first, *refused, last = result.stdout.splitlines()
    durable, size, message = first.split("|")
    assert int(durable) >= 3
    assert int(size) <= 10_000
    assert "the spool of 's'" in message
    assert "cannot be written" in message
    assert refused == ["refused", "refused"]
    assert last == f"range({durable}, {int(durable) + 3}) {int(durable) + 3}"
    assert len(read_all(folder)) == int(durable) + 3


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"'s' in .* cannot be written"):
        SpoolWriter(tmp_path / "file" / "s")


@pytest.fixture
def stream() -> Stream:
    return Stream.model_validate({"name": "telemetry", "source": {"mqtt": "plant/#"}})


def test_the_log_is_empty_before_the_first_collection(tmp_path: Path, stream: Stream) -> None:
    log = SpoolLog(stream.name, tmp_path)
    assert log.bounds() == {}
    log.confirm({"telemetry-0": 5})
    log.close()
    assert not (tmp_path / "telemetry").exists()


def test_the_log_reads_windows_and_trims_what_is_confirmed(tmp_path: Path, stream: Stream) -> None:
    write(tmp_path / "telemetry", [10, 10, 10], segment_bytes=1)
    log = SpoolLog(stream.name, tmp_path)
    bounds = log.bounds()
    assert (bounds["telemetry-0"].begin, bounds["telemetry-0"].end) == (0, 30)
    assert len(bounds["telemetry-0"].log_id) == 32
    chunks = list(log.read({"telemetry-0": Window(5, 25)}))
    assert all(chunk.events.schema == SOURCE_SCHEMA for chunk in chunks)
    rows = [row for chunk in chunks for row in chunk.events.to_pylist()]
    assert [row["position"] for row in rows] == list(range(5, 25))
    assert [row["value"] for row in rows] == [str(position).encode() for position in range(5, 25)]
    assert {row["source_partition"] for row in rows} == {"telemetry-0"}
    assert chunks[-1].positions == {"telemetry-0": 25}
    log.confirm({"telemetry-0": 19})
    assert log.bounds()["telemetry-0"].begin == 10  # the segment that holds 19 stays
    log.confirm({"telemetry-0": 20})
    assert log.bounds()["telemetry-0"].begin == 20
    log.close()


def test_the_log_starts_where_it_is_told(tmp_path: Path, stream: Stream) -> None:
    write(tmp_path / "telemetry", [10, 10])
    log = SpoolLog(stream.name, tmp_path)
    bounds = log.bounds()
    assert log.start_positions("earliest", bounds) == {"telemetry-0": 0}
    assert log.start_positions("latest", bounds) == {"telemetry-0": 20}
    for microseconds, position in ((0, 0), (13, 13), (19, 19), (20, 20)):
        moment = EPOCH + timedelta(microseconds=microseconds)
        assert log.start_positions(moment, bounds) == {"telemetry-0": position}
    log.close()


def test_an_end_is_known_by_its_frame_as_far_as_the_writer_vouches_for_it(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    write(folder, [2, 3])
    first = SpoolReader(folder).bounds()
    assert first is not None
    mark = FrameMark.parse(first.proof)
    assert mark is not None
    assert (mark.segment, mark.frame.first, mark.frame.count, mark.end, str(mark)) == (
        0,
        2,
        3,
        5,
        first.proof,
    )
    with closing(SpoolWriter(folder)) as writer:
        writer.append(numbered(5, 1))
        writer.commit()
        vouched = (folder / "published").read_bytes()
        writer.append(numbered(6, 1))
        writer.commit()
        (folder / "published").write_bytes(vouched)  # the last flush is under way
        reader = SpoolReader(folder)
        bounds = reader.bounds()
        assert bounds is not None
        last = FrameMark.parse(bounds.proof)
        assert last is not None
        assert (bounds.end, last.frame.first, last.end) == (6, 5, 6)
        assert reader.holds(mark)
        assert reader.holds(last)
        reader.close()
    with closing(SpoolWriter(tmp_path / "other")) as writer:
        for first_position, count in [(0, 2), (2, 3)]:  # the same bytes, received later
            writer.append(event(each.value, received_us=9) for each in numbered(first_position, count))
            writer.commit()
        assert not SpoolReader(writer.folder).holds(mark)
    assert SpoolReader(folder).holds(mark)
    assert FrameMark.parse("") is None
