"""A log is more than its length: the log that goes on is the one that was read."""

from tests.fault.mutations.mutant import Mutant

_ADOPTION, _RECOGNITION = "tests/ingestion/test_adoption.py", "tests/ingestion/test_recognition.py"

MUTANTS = (
    Mutant(
        "a frame is right whatever the spool's shift",
        "ingestion/spool/log.py",
        "same = mark.frame.next + shift.shift(spool) == mark.end",
        "same = True",
        "the right spool after an adopted copy is read on",
        (f"{_ADOPTION}::test_the_right_spool_again_after_an_older_copy_was_adopted_loses_nothing",),
    ),
    Mutant(
        "adoption compares key and time only",
        "ingestion/land/overlap.py",
        "if event != (row[1], _as_today(row[2]), *row[3:]):",
        "if event[:2] != (row[1], _as_today(row[2])):",
        "what adopt has not seen it does not skip",
        ("tests/orchestration/test_examine_sources.py", _ADOPTION),
    ),
    Mutant(
        "what was seen and not read is forgotten",
        "ingestion/land/adoption.py",
        "position = max(ours.next, ours.known_end)",
        "position = ours.next",
        "an accepted loss stays in the ledger",
        (f"{_ADOPTION}::test_what_was_seen_and_not_read_is_lost_and_the_ledger_goes_on_saying_so",),
    ),
    Mutant(
        "a hole passes for the last event",
        "ingestion/log/recognition.py",
        "        if LastEvent.of(row) != self._awaited[name]:\n",
        "        if name not in self._compared and LastEvent.of(row) != self._awaited[name]:\n",
        "an event where nothing was is another log",
        (_RECOGNITION,),
    ),
    Mutant(
        "an epoch that ended before the position is believed",
        "ingestion/connectors/kafka/log.py",
        "for tp, at in ended.items() if at < marks[tp].end",
        "for tp, at in ended.items() if at > marks[tp].end",
        "a leader that lost records is recognised by its epochs",
        ("tests/ingestion/test_kafka_put_back.py",),
    ),
    Mutant(
        "a loss below the position does not count",
        "ingestion/log/positions.py",
        "if keeps or diverged_at < positions[name].next:",
        "if keeps:",
        "what a broker lost below the position stops the stream",
        (_RECOGNITION,),
    ),
)
