"""Rejects and replays: the way back lands each event once, under its old identity."""

from tests.fault.mutations.mutant import Mutant

_REPLAY, _RESOLUTIONS = "ingestion/land/replay.py", "ingestion/land/resolutions.py"
_REJECTS_TESTS, _REPLAY_TESTS = "tests/ingestion/test_rejects.py", "tests/ingestion/test_replay.py"

MUTANTS = (
    Mutant(
        "a retry lands what has landed",
        _RESOLUTIONS,
        "        kept = [reject for reject in waiting if reject.kept]\n",
        "        kept = [reject for reject in chosen if reject.kept]\n",
        "a retry that is done twice changes nothing",
        (_REJECTS_TESTS,),
    ),
    Mutant(
        "bytes that were not kept are tried as if they had been",
        _RESOLUTIONS,
        "        kept = [reject for reject in waiting if reject.kept]\n",
        "        kept = list(waiting)\n",
        "a reject without bytes is not a null payload",
        (f"{_REJECTS_TESTS}::test_bytes_that_were_not_kept_never_become_a_tombstone",),
    ),
    Mutant(
        "a replay lands what is in raw",
        _REPLAY,
        '        known = places.filter(pc.not_equal(places["place"], "open"))["position"]\n',
        '        known = places.filter(pc.equal(places["place"], "dismissed"))["position"]\n',
        "a replay lands nothing twice",
        (_REPLAY_TESTS,),
    ),
    Mutant(
        "a replay goes past the ledger's position",
        _REPLAY,
        "        last = min(last, position.next)\n",
        "",
        "later events belong to the next batch",
        (_REPLAY_TESTS,),
    ),
    Mutant(
        "a replay reads a log that was made again",
        _REPLAY,
        "        if find_break(positions[name], found) == Break.OTHER_LOG:\n",
        "        if False:\n",
        "positions of another log are other events",
        ("tests/fakes/test_a_kind_is_a_folder.py::test_a_log_of_a_new_kind_lands_and_is_watched",),
    ),
    Mutant(
        "a repair moves the position",
        "ingestion/land/repair.py",
        '"end_position": position.next,\n',
        '"end_position": position.next + row["count_all"],\n',
        "a repair's window is empty",
        (_REJECTS_TESTS, _REPLAY_TESTS),
    ),
)
