"""Every log: bounds, windows, holes, starts, truncation, a replaced log, bounded time (log/port.py)."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from ingestion.connectors.port import CollectingConnector
from ingestion.connectors.registry import connector, kinds
from ingestion.errors import LogTruncated, SourceUnavailable
from ingestion.log.envelope import SOURCE_SCHEMA
from ingestion.log.port import Bounds, Break, Log, Window
from ingestion.log.positions import Position, check_log, find_break, find_breaks
from ingestion.log.recognition import last_events, read_on, recognise
from ingestion.settings import Settings
from tests.conformance.subjects import (
    LogSubject,
    kafka_subject,
    rabbitmq_stream_subject,
    spool_subject,
    tape_subject,
)
from tests.fakes.registered import fakes
from tests.names import numbers
from tests.servers.apache_kafka import KafkaServer
from tests.waiting import eventually

SUBJECTS = {
    "tape": ["tape"],
    "kafka": ["kafka-python", "librdkafka"],
    "mqtt": ["spool"],
    "http": ["spool"],
    "kinesis": ["spool"],
    "pigeon": ["spool"],
    "rabbitmq": ["spool", "rabbitmq-stream"],
}
"""Kind → who stands for it here."""
_numbers = numbers()
MIDDLE = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)  # within a broker's retention


@pytest.fixture(autouse=True, scope="module")
def _registered() -> Iterator[None]:
    with fakes():
        yield


@pytest.fixture(params=sorted({name for names in SUBJECTS.values() for name in names}))
def subject(request: pytest.FixtureRequest, settings: Settings) -> Iterator[LogSubject]:
    name = f"conforms-{request.param}-{next(_numbers)}"
    if request.param == "tape":
        made = tape_subject(settings, name)
    elif request.param == "spool":
        made = spool_subject(settings, name)
    elif request.param == "rabbitmq-stream":
        made = rabbitmq_stream_subject(settings, name, request.getfixturevalue("rabbitmq"))
    else:
        made = kafka_subject(settings, name, request.getfixturevalue("apache_kafka"), request.param)
        made.refused = lambda: wrong_login(made.settings, request.getfixturevalue("secured"))
    yield made
    for log in made.opened:
        log.close()


def wrong_login(settings: Settings, server: KafkaServer) -> tuple[Settings, str]:
    """A user whom the broker knows, with another password."""
    secret = "wr0ng-and-private"
    login = {
        "kafka_username": "reader",
        "kafka_password": secret,
        "kafka_security_protocol": "SASL_PLAINTEXT",
    }
    return settings.replaced(kafka_bootstrap_servers=server.sasl_bootstrap_servers, **login), secret


def only(bounds: dict[str, Bounds]) -> tuple[str, Bounds]:
    ((name, found),) = bounds.items()
    return name, found


def values_of(log: Log, windows: dict[str, Window]) -> tuple[list[bytes | None], dict[str, int]]:
    """The values of windows in order, and where their partitions then stand."""
    values, reached, last = [], {}, {name: window.start - 1 for name, window in windows.items()}
    for chunk in log.read(windows):
        assert chunk.events.schema == SOURCE_SCHEMA
        for row in chunk.events.to_pylist():
            assert last[row["source_partition"]] < row["position"]
            assert row["position"] < windows[row["source_partition"]].end
            last[row["source_partition"]] = row["position"]
            values.append(row["value"])
        for name, position in chunk.positions.items():
            assert position >= reached.get(name, 0)
            reached[name] = position
    return values, reached


def test_every_registered_kind_has_a_subject() -> None:
    assert set(SUBJECTS) == set(kinds())
    collected = {kind for kind in kinds() if isinstance(connector(kind), CollectingConnector)}
    assert collected == {kind for kind, names in SUBJECTS.items() if "spool" in names}


def test_bounds_grow_with_what_is_sent(subject: LogSubject) -> None:
    subject.send([b"0"], None)
    log = subject.open()
    name, before = only(log.bounds())
    assert (before.begin, before.end) == (0, 1)
    subject.send([b"1", None], None)
    assert only(log.bounds()) == (name, Bounds(0, 3, before.log_id))
    assert only(subject.open().bounds()) == (name, Bounds(0, 3, before.log_id))


def test_windows_are_read_exactly(subject: LogSubject) -> None:
    values = [b"%d" % number for number in range(9)] + [subject.nothing]
    subject.send(values, None)
    log = subject.open()
    name, _ = only(log.bounds())
    for start, end in [(0, 10), (3, 7), (0, 1), (9, 10), (0, 10)]:
        assert values_of(log, {name: Window(start, end)}) == (values[start:end], {name: end})


def test_holes_are_passed(subject: LogSubject) -> None:
    if subject.send_with_holes is None:
        subject.send([b"a", b"b", b"c"], None)
    else:
        subject.send_with_holes([b"a", b"b", b"c"])
    log = subject.open()
    name, bounds = only(log.bounds())
    assert values_of(log, {name: Window(0, bounds.end)}) == ([b"a", b"b", b"c"], {name: bounds.end})
    assert (bounds.end > 3) == (subject.send_with_holes is not None)
    halves = [
        values_of(log, {name: Window(*each)})[0]
        for each in ((0, bounds.end - 2), (bounds.end - 2, bounds.end))
    ]
    assert halves[0] + halves[1] == [b"a", b"b", b"c"]


def test_a_stream_begins_where_it_says(subject: LogSubject) -> None:
    subject.send([b"early"], MIDDLE - timedelta(hours=1))
    subject.send([b"late", b"later"], MIDDLE + timedelta(hours=1))
    log = subject.open()
    bounds = log.bounds()
    name, _ = only(bounds)
    assert log.start_positions("earliest", bounds) == {name: 0}
    assert log.start_positions("latest", bounds) == {name: 3}
    assert log.start_positions(MIDDLE, bounds) == {name: 1}
    assert log.start_positions(MIDDLE + timedelta(days=1), bounds) == {name: 3}


def test_the_time_of_a_windows_first_event(subject: LogSubject) -> None:
    times = [MIDDLE + timedelta(minutes=number) for number in range(4)]
    for moment in times:
        subject.send([b"x"], moment)
    log = subject.open()
    name, _ = only(log.bounds())
    for start, end in [(2, 4), (0, 4), (3, 4), (2, 3), (0, 1)]:
        assert log.first_times({name: Window(start, end)}) == {name: times[start]}
    assert log.first_times({name: Window(2, 2)}) == {}
    assert log.first_times({}) == {}


def test_the_time_of_the_first_event_beyond_holes(subject: LogSubject) -> None:
    if subject.send_with_holes is None:
        return
    before = datetime.now(UTC)
    subject.send_with_holes([b"a", b"b"])
    log = subject.open()
    name, bounds = only(log.bounds())
    (first,) = log.first_times({name: Window(0, bounds.end)}).values()
    if subject.stream.kind != "tape":  # its events have a time of their own
        assert first is not None
        assert abs(first - before) < timedelta(minutes=5)
    assert log.first_times({name: Window(bounds.end - 1, bounds.end)}) == {}  # a marker is not an event


def test_it_notices_that_events_came(subject: LogSubject) -> None:
    subject.send([b"0"], None)
    log = subject.open()
    known = log.bounds()
    log.has_moved(known)
    subject.send([b"1"], None)
    eventually(lambda: log.has_moved(known), "an event came and it noticed")


def test_erased_events_show_in_the_bounds(subject: LogSubject) -> None:
    if subject.erase is None:
        assert subject.stream.kind == "rabbitmq"  # test_rabbitmq_streams.py: retention deletes segments
        return
    subject.send([b"%d" % number for number in range(6)], None)
    log = subject.open()
    name, before = only(log.bounds())
    log.confirm({name: 1})
    subject.erase(4)
    _, after = only(log.bounds())
    assert (after.begin, after.end, after.log_id) == (4, 6, before.log_id)
    assert find_break(Position(2, before.log_id), after) is Break.BEGINS_AFTER
    with pytest.raises(LogTruncated, match=rf"^stream 's': {name} .*begins.* 2"):
        check_log("s", _Numbered(log), {name: Position(2, before.log_id)}, log.bounds())
    assert values_of(log, {name: Window(4, 6)})[0] == [b"4", b"5"]


class _Numbered:
    """A log whose explanation ends with how many positions are missing, however it puts it."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.keeps_until_confirmed = log.keeps_until_confirmed

    def explain(self, broken: Break, *, position: int, bounds: Bounds | None) -> str:
        assert bounds is not None
        return f"{self._log.explain(broken, position=position, bounds=bounds)} {bounds.begin - position}"


def test_a_log_that_was_made_again_is_another_one(subject: LogSubject) -> None:
    subject.send([b"0", b"1"], None)
    log = subject.open()
    positions = read_position(log, 2)
    name, before = only(log.bounds())
    subject.replace()
    _, after = only(subject.open().bounds())
    if not before.log_id:  # such a log is known by its end, and by the last event that was read
        assert find_breaks(log, positions, {name: after}) == {name: Break.ENDS_BEFORE}
        subject.send([b"newer", b"newest"], None)
        _, after = only(log.bounds())
        with pytest.raises(LogTruncated, match=rf"^stream 's': {name} .* before our position 2"):
            next(read_on("s", log, {name: Window(2, 3)}, positions=positions, bounds={name: after}))
        return
    assert after.log_id != before.log_id
    assert find_break(Position(1, before.log_id), after) is Break.OTHER_LOG


def read_position(log: Log, next_position: int) -> dict[str, Position]:
    """What the ledger holds of a log's only partition after a batch that has read it so far."""
    name, bounds = only(log.bounds())
    chunks = list(log.read({name: Window(bounds.begin, next_position)}))
    last = last_events(pa.concat_tables([chunk.events for chunk in chunks]))[name]
    return {
        name: Position(
            next_position, bounds.log_id, known_end=bounds.end, last_event=str(last), end_proof=bounds.proof
        )
    }


def test_the_log_that_was_read_is_recognised(subject: LogSubject) -> None:
    subject.send([b"a", b"b"], None)
    positions = read_position(subject.open(), 2)
    subject.send([b"c", None], None)
    log = subject.open()
    name, bounds = only(log.bounds())
    assert not find_breaks(log, positions, {name: bounds})
    found = recognise(log, positions, {name: bounds})
    assert (found.others, found.unknown) == (set(), set())
    windows = {name: Window(2, 4)}
    chunks = list(read_on("s", log, windows, positions=positions, bounds={name: bounds}))
    assert [value for chunk in chunks for value in chunk.events["value"].to_pylist()] == [
        b"c",
        subject.nothing,
    ]
    assert [chunk.positions[name] for chunk in chunks][-1] == 4


def test_another_event_before_our_position_is_refused_before_anything_is_taken(subject: LogSubject) -> None:
    subject.send([b"a", b"b", b"c"], None)
    log = subject.open()
    positions = read_position(log, 2)
    name, bounds = only(log.bounds())
    (ours,) = positions.values()
    other = replace(ours, last_event=ours.last_event[:-4] + "0000")
    with pytest.raises(LogTruncated, match=rf"^stream 's': {name} .* before our position 2"):
        next(read_on("s", log, {name: Window(2, 3)}, positions={name: other}, bounds={name: bounds}))
    assert recognise(log, {name: other}, {name: bounds}).others == {name}


def test_a_log_that_was_put_back_and_written_on_is_not_the_one_that_was_read(subject: LogSubject) -> None:
    if subject.put_back is None:
        assert subject.stream.kind == "kafka"  # test_kafka_put_back.py: its broker has to be stopped for it
        return
    subject.send([b"a"], None)
    put_back = subject.put_back()
    subject.send([b"b", b"c"], None)
    log = subject.open()  # it stays open
    positions, all_unread = read_position(log, 3), read_position(log, 1)
    put_back()
    subject.send([b"x", b"y", b"z"], None)
    name, bounds = only(log.bounds())
    assert bounds.end == 4
    if log.keeps_until_confirmed:
        assert set(find_breaks(log, all_unread, {name: bounds}).values()) == {Break.PUT_BACK}
        assert set(find_breaks(log, positions, {name: bounds}).values()) == {Break.PUT_BACK}
    with pytest.raises(LogTruncated, match=rf"^stream 's': {name} "):
        next(read_on("s", log, {name: Window(3, 4)}, positions=positions, bounds={name: bounds}))


def test_a_log_that_is_gone_is_gone(subject: LogSubject) -> None:
    subject.send([b"0"], None)
    subject.open().bounds()
    subject.remove()
    log = subject.open()
    if log.keeps_until_confirmed or subject.stream.kind == "tape":
        assert log.bounds() == {}
    else:  # what is named must exist
        with pytest.raises(SourceUnavailable, match=r"stream 's': .* has no (topic|stream) '"):
            log.bounds()


def test_each_break_has_a_sentence_of_its_own(subject: LogSubject) -> None:
    log = subject.open()
    told = {
        each: log.explain(each, position=5, bounds=None if each is Break.GONE else Bounds(8, 3))
        for each in Break
    }
    assert len(set(told.values())) == len(Break)
    assert all(len(sentence) > 20 and not sentence.endswith(".") for sentence in told.values())


def test_a_refused_login_is_an_error_without_the_password(subject: LogSubject) -> None:
    if subject.refused is None:
        assert subject.away is None or subject.stream.kind == "tape"  # nothing asks for a login
        return
    settings, secret = subject.refused()
    with pytest.raises(SourceUnavailable, match=r"stream 's': .* refuses user 'reader'") as caught:
        subject.open(settings, timeout_seconds=3).bounds()
    assert secret not in str(caught.value)


def test_a_broker_that_is_away_is_an_error_in_time(subject: LogSubject) -> None:
    if subject.away is None:
        assert subject.open().keeps_until_confirmed  # nothing is connected
        return
    log = subject.open(subject.away, timeout_seconds=1)
    with pytest.raises(SourceUnavailable, match="stream 's'"):
        log.bounds()  # how quick that is, benchmarks measure
