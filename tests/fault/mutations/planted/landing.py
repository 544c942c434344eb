"""Log → batch: windows begin at the ledger's position and end where the reading ended; nothing is skipped."""

from tests.fault.mutations.mutant import Mutant

_BATCH, _POSITIONS, _ROWS = "ingestion/land/batch.py", "ingestion/log/positions.py", "ingestion/land/rows.py"
_TESTS = "tests/ingestion/test_batch.py"
_PURE = "tests/ingestion/test_positions.py"

MUTANTS = (
    Mutant(
        "a new partition begins where the stream is said to start",
        _BATCH,
        'starts |= log.start_positions(stream.source.start if is_first else "earliest", new)',
        "starts |= log.start_positions(stream.source.start, new)",
        "a partition that is added later is read from its beginning",
        (f"{_TESTS}::test_latest_begins_at_the_first_look_and_loses_nothing_after_it", _TESTS),
    ),
    Mutant(
        "an empty new partition is not written down",
        _BATCH,
        "            self.is_new\n            or bool(self.skipped)",
        "            bool(self.skipped)",
        "start: latest is asked once",
        (f"{_TESTS}::test_latest_begins_at_the_first_look_and_loses_nothing_after_it",),
    ),
    Mutant(
        "the ledger has the planned window, not what was read of it",
        _BATCH,
        "name: Window(window.start, reading.positions[name]) for name, window in plan.windows.items()",
        "name: Window(window.start, window.end) for name, window in plan.windows.items()",
        "a batch that ends early moves the position no further than it read",
        (f"{_TESTS}::test_a_batch_that_ends_early_holds_what_it_read_and_the_next_goes_on_there",),
    ),
    Mutant(
        "a log that was made again is read on",
        _POSITIONS,
        "if position.log_id and bounds.log_id and position.log_id != bounds.log_id:",
        "if False:",
        "a topic that was made again is refused",
        (_PURE, f"{_TESTS}::test_a_topic_made_again_is_refused_not_skipped"),
    ),
    Mutant(
        "a log that ends before the position is read on",
        _POSITIONS,
        "    if position.next > bounds.end or (keeps_until_confirmed",
        "    if (keeps_until_confirmed",
        "a log that is shorter than what was read of it is refused",
        (_PURE,),
    ),
    Mutant(
        "a partition may starve",
        _POSITIONS,
        "max(min(wanted, 1), wanted * max_events // total)",
        "wanted * max_events // total",
        "each partition gets at least one position of a batch",
        (_PURE,),
    ),
    Mutant(
        "what retention took is not written down",
        _ROWS,
        '            "positions_skipped": skipped.get(name, 0),',
        '            "positions_skipped": 0,',
        "the ledger says how many positions retention took",
        ("tests/ingestion/test_truncation.py",),
    ),
    Mutant(
        "rejects are not read",
        _ROWS,
        '"events_read": landed.get(name, 0) + rejected.get(name, 0),',
        '"events_read": landed.get(name, 0),',
        "read = landed + rejected",
        (f"{_TESTS}::test_malformed_binary_and_tombstone_do_not_stop_the_stream",),
    ),
    Mutant(
        "an alone event of a replaced connection is read again",
        "ingestion/log/stalls.py",
        "                left[name] = Window(position, left[name].end)\n",
        "                pass\n",
        "over a second connection only what is left is read",
        ("tests/ingestion/test_broker_faults.py", "tests/conformance/test_logs.py"),
    ),
    Mutant(
        "the budget of rejects is not looked at",
        _BATCH,
        '        _check_share(stream, tables[stream.name], tables["rejects"])\n',
        "",
        "a batch over max_reject_share is not loaded",
        (
            "tests/ingestion/test_rejects.py::test_a_batch_over_its_budget_of_rejects_is_not_loaded_and_nothing_is_lost",
        ),
    ),
)
