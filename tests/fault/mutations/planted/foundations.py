"""What the promise rests on: `millrace doctor` says what it is worth there."""

from tests.fault.mutations.mutant import Mutant

_CATALOG, _KAFKA, _MQTT = (
    "orchestration/cli/examine_catalog.py",
    "ingestion/connectors/kafka/durability.py",
    "ingestion/connectors/mqtt/durability.py",
)
_CATALOG_TESTS = "tests/orchestration/test_examine_catalog.py"
_KAFKA_TESTS, _MQTT_TESTS = (f"tests/ingestion/test_{name}_durability.py" for name in ("kafka", "mqtt"))

MUTANTS = (
    Mutant(
        "a PostgreSQL that forgets commits is good",
        _CATALOG,
        "if settings.get(name) == wrong]",
        'if settings.get(name) == wrong and name != "synchronous_commit"]',
        "a server that may forget commits is named",
        (f"{_CATALOG_TESTS}::test_a_server_that_forgets_commits_is_a_problem",),
    ),
    Mutant(
        "a clock that is ahead of PostgreSQL's is right",
        _CATALOG,
        "    apart = max(before - float(theirs), float(theirs) - after, 0.0)\n",
        "    apart = max(float(theirs) - after, 0.0)\n",
        "clocks that are apart are named",
        (f"{_CATALOG_TESTS}::test_clocks_that_are_apart_are_a_problem",),
    ),
    Mutant(
        "an unclean election is no danger",
        _KAFKA,
        "    if keeping.unclean:\n        yield",
        "    if False:\n        yield",
        "a Kafka that may lose acknowledged events is named",
        (f"{_KAFKA_TESTS}::test_each_setting_has_its_sentence",),
    ),
    Mutant(
        "the age of unread events is not compared with the retention",
        _KAFKA,
        "        if max(age, drain) > _DANGER * keeping.seconds:\n",
        "        if drain > _DANGER * keeping.seconds:\n",
        "unread events that retention will reach are named",
        (f"{_KAFKA_TESTS}::test_unread_events_that_retention_will_reach_are_a_problem",),
    ),
    Mutant(
        "the size of unread events is not compared with the retention",
        _KAFKA,
        "        if takes > _DANGER * keeping.bytes:\n",
        "        if False:\n",
        "unread events that retention will reach are named",
        (f"{_KAFKA_TESTS}::test_unread_events_that_retention_will_reach_are_a_problem",),
    ),
    Mutant(
        "a session that was made after the restart proves persistence",
        _MQTT,
        "        each.made_at < started - _MARGIN_SECONDS and started < each.resumed_at for each in past.values()\n",
        "        started < each.resumed_at for each in past.values()\n",
        "only a session that outlived a restart proves that the broker keeps sessions",
        (f"{_MQTT_TESTS}::test_only_a_session_that_outlived_a_restart_proves_that_sessions_do",),
    ),
    Mutant(
        "another broker's past counts",
        "ingestion/connectors/mqtt/history.py",
        '        if kept["broker"] == broker:\n',
        "        if True:\n",
        "of another broker nothing is known",
        (f"{_MQTT_TESTS}::test_the_past_of_a_session_is_kept_per_broker",),
    ),
)
