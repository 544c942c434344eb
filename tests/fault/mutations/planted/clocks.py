"""Clocks that are set, networks that die, poolers: one fault does not hold up what has nothing to do with it."""

from tests.fault.mutations.mutant import Mutant

_CLOCK, _PAUSE, _POOLER, _CATALOG = (
    "orchestration/daemon/clock.py",
    "orchestration/sensors/pause.py",
    "ingestion/lake/pooler.py",
    "ingestion/lake/catalog.py",
)
_CLOCK_TESTS, _NETWORK = "tests/orchestration/test_clock.py", "tests/ingestion/test_network.py"

MUTANTS = (
    Mutant(
        "a pause lasts until the clock has come back",
        _PAUSE,
        "return not now < self.until <= now + _LONGEST_SECONDS",
        "return now >= self.until",
        "a clock that is set back by a day pauses nothing for a day",
        (f"{_CLOCK_TESTS}::test_a_pause_ends_when_the_clock_was_set_back",),
    ),
    Mutant(
        "pauses have no bound",
        _PAUSE,
        "min(_FIRST_SECONDS * 2 ** (failures - 1), _LONGEST_SECONDS)",
        "_FIRST_SECONDS * 2 ** (failures - 1)",
        "what is mended goes on within minutes",
        ("tests/orchestration/test_backoff.py::test_pauses_double_up_to_a_bound_and_end_with_a_success",),
    ),
    Mutant(
        "ticks that are still to come stay in Dagster's records",
        _CLOCK,
        "        connection.execute(JobTickTable.delete().where(JobTickTable.c.timestamp > latest))\n",
        "        pass\n",
        "a clock that is set back stops no sensor",
        (f"{_CLOCK_TESTS}::test_dagster_forgets_times_to_come",),
    ),
    Mutant(
        "a sensor's last start is left in the time to come",
        _CLOCK,
        '            "last_sensor_start_timestamp",\n',
        "",
        "a clock that is set back stops no sensor",
        (f"{_CLOCK_TESTS}::test_dagster_forgets_times_to_come",),
    ),
    Mutant(
        "a clock that is set ahead ends the daemon",
        _CLOCK,
        "        return before < last - TOLERANCE_SECONDS\n",
        "        return abs(before - last) > TOLERANCE_SECONDS\n",
        "only a step back makes somebody wait",
        (f"{_CLOCK_TESTS}::test_only_a_step_back_counts",),
    ),
    Mutant(
        "the daemon goes on with the times of the clock before",
        _CLOCK,
        "        os.kill(os.getpid(), signal.SIGTERM)\n",
        "        pass\n",
        "the daemon is started again when the clock was set back",
        (f"{_CLOCK_TESTS}::test_the_daemon_s_process_ends_when_the_clock_is_set_back",),
    ),
    Mutant(
        "a clock that is set ahead makes everything old",
        "ingestion/upkeep/ages.py",
        "        forward = max((added for passed, added in self._steps if passed < seconds), default=0.0)\n",
        "        forward = 0.0\n",
        "a step of the clock makes nothing older",
        ("tests/ingestion/test_ages.py",),
    ),
    Mutant(
        "what goes by its age does not wait for a steady clock",
        "ingestion/upkeep/ages.py",
        "        if self.waits:\n            return None\n",
        "",
        "nothing is deleted by its age while the clock is in doubt",
        ("tests/ingestion/test_ages.py",),
    ),
    Mutant(
        "files that a batch is writing are orphans when the clock is ahead",
        "ingestion/upkeep/maintenance.py",
        '                for lock in self._writers(Table(*table.split("/"))):\n'
        "                    held.enter_context(lock())\n",
        "",
        "files of a batch under way are no orphans, whatever the clock says",
        (
            "tests/ingestion/test_maintenance.py::test_only_old_files_that_the_catalog_does_not_know_are_orphans",
        ),
    ),
    Mutant(
        "files that were committed meanwhile are orphans",
        "ingestion/upkeep/maintenance.py",
        "                unknown = set(map(str, files)) - known_files(self._lake)\n",
        "                unknown = set(map(str, files))\n",
        "the catalog is asked once more when nobody writes any more",
        (
            "tests/ingestion/test_maintenance.py::test_a_file_that_was_committed_after_the_look_is_not_an_orphan",
        ),
    ),
    Mutant(
        "a pooler that shares sessions is taken for PostgreSQL",
        _POOLER,
        "    if _session(connection) != connection.info.backend_pid and _is_shared(connection, another):\n",
        "    if False:\n",
        "where locks do not hold nothing is written",
        (f"{_NETWORK}::test_a_pooler_that_shares_sessions_is_refused",),
    ),
    Mutant(
        "a pool of sessions is refused too",
        _POOLER,
        "        return _session(other) == ours\n",
        "        return True\n",
        "a pooler with a session for each client is as good as PostgreSQL",
        (f"{_NETWORK}::test_a_pooler_that_shares_sessions_is_refused",),
    ),
    Mutant(
        "connections of the catalog have no limits",
        _CATALOG,
        "    return {**NETWORK_LIMITS, **{key: str(value) for key, value in given}}\n",
        "    return {key: str(value) for key, value in given}\n",
        "a dead network is noticed within half a minute",
        (f"{_NETWORK}::test_every_connection_notices_a_dead_network",),
    ),
    Mutant(
        "the server keeps the locks of a client that is gone",
        _CATALOG,
        "            cursor.execute(SERVER_LIMITS)\n",
        "            pass\n",
        "a lock ends with its client, also over a dead network",
        (f"{_NETWORK}::test_the_server_notices_too_that_who_holds_a_lock_is_gone",),
    ),
    Mutant(
        "limits take the place of what the address says",
        "ingestion/lake/limits.py",
        "    given = set(dict(parse_qsl(urlsplit(address).query, keep_blank_values=True)))\n",
        "    given = set[str]()\n",
        "an address keeps what it says itself",
        (f"{_NETWORK}::test_an_address_keeps_what_it_says",),
    ),
)
