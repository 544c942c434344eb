"""Sender → collector → spool: nothing is acknowledged before it is durable, no position is given twice."""

from tests.fault.mutations.mutant import Mutant

_WRITER, _FRAMES, _READER = (f"ingestion/spool/{name}.py" for name in ("writer", "frames", "reader"))
_TESTS = "tests/ingestion/test_spool.py"

MUTANTS = (
    Mutant(
        "a torn frame is left in front of the next one",
        _WRITER,
        '            _log.warning("cut an unfinished commit", segment=str(path), bytes=torn_bytes)\n'
        "            self._cut()\n",
        '            _log.warning("cut an unfinished commit", segment=str(path), bytes=torn_bytes)\n',
        "what a crash tore off is cut before the next commit",
        (f"{_TESTS}::test_a_tail_torn_at_any_byte_is_not_there_and_then_cut", _TESTS),
    ),
    Mutant(
        "a new segment begins at 0 again",
        _WRITER,
        "self._fd, self._tail = fd, start_of(self.durable)",
        "self._fd, self._tail = fd, start_of(0)",
        "positions go on in the next segment",
        (f"{_TESTS}::test_behaves_like_a_list_with_positions",),
    ),
    Mutant(
        "a lost log keeps its identity",
        _WRITER,
        "        (folder / LOG_ID_FILE).unlink()\n    log_id = uuid.uuid4().hex\n",
        "        (folder / LOG_ID_FILE).unlink()\n    log_id = log_id or uuid.uuid4().hex\n",
        "a spool whose segments are gone is another log",
        (f"{_TESTS}::test_a_lost_log_gets_another_identity",),
    ),
    Mutant(
        "a body is believed without its checksum",
        _FRAMES,
        "if len(body) != frame.body_bytes or crc32c(body) != frame.body_crc:",
        "if len(body) != frame.body_bytes:",
        "damage is an error and never silent",
        (f"{_TESTS}::test_damage_in_an_older_segment_is_found_when_it_is_read",),
    ),
    Mutant(
        "a header's checksum has no salt",
        _FRAMES,
        "if magic != MAGIC or crc != crc32c(header[: _FIELDS.size], salt):",
        "if magic != MAGIC:",
        "a payload cannot forge a frame",
        (f"{_TESTS}::test_a_torn_payload_that_imitates_frames_is_still_a_torn_tail", _TESTS),
    ),
    Mutant(
        "a good frame after a bad one is thrown away with it",
        _FRAMES,
        "    if _frame_follows(fd, tail, salt=salt):\n        raise corrupt(path, tail.offset)\n",
        "",
        "a flipped byte before the last frame is not taken for a torn tail",
        (f"{_TESTS}::test_any_flipped_byte_before_the_last_frame_is_an_error_and_never_silent",),
    ),
    Mutant(
        "trimming takes the segment that holds the position",
        _READER,
        "old = [first for first, following in pairwise(found) if following <= below]",
        "old = [first for first, following in pairwise(found) if first <= below]",
        "what is not in the lake stays in the spool",
        (f"{_TESTS}::test_the_log_reads_windows_and_trims_what_is_confirmed",),
    ),
    Mutant(
        "a window begins a frame too early",
        _READER,
        "            skip = max(start - frame.first, 0)\n",
        "            skip = 0\n",
        "windows are read exactly",
        (f"{_TESTS}::test_a_window_begins_and_ends_anywhere_in_a_frame",),
    ),
    Mutant(
        "a message counts as safe when one of its streams has it",
        "ingestion/spool/intake.py",
        "item.missing = tuple(other for other in item.missing if other != name)",
        "item.missing = ()",
        "acknowledged is what every stream that wants it has stored",
        ("tests/ingestion/test_intake.py::test_an_event_is_safe_when_every_stream_that_wants_it_has_it",),
    ),
    Mutant(
        "a polite stop forgets what is stored",
        "ingestion/collect/collector.py",
        "            self._acknowledge(at_once=True)\n",
        "",
        "what a collector took is acknowledged when it is told to stop",
        (
            "tests/conformance/test_listeners.py::"
            "test_what_waits_is_stored_and_acknowledged_when_it_is_asked_to_stop",
        ),
    ),
    Mutant(
        "an adopted spool begins a position too early",
        "ingestion/land/adoption.py",
        "shift = Shift(spool.log_id, ours.log_id, position - first)",
        "shift = Shift(spool.log_id, ours.log_id, position - first - 1)",
        "positions of a lost spool are never given again",
        ("tests/ingestion/test_adoption.py",),
    ),
)
