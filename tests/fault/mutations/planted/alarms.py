"""An alarm for what is silent: what hangs is found, ended and named once, and so is its end."""

from tests.fault.mutations.mutant import Mutant

_HEALING, _STALL, _LOST = (
    "orchestration/system/healing.py",
    "orchestration/warm/stall.py",
    "orchestration/sensors/lost_runs.py",
)
_CONDITIONS = "tests/orchestration/conditions"
_STUCK, _ALERTS, _JOURNAL = (f"{_CONDITIONS}/test_{name}.py" for name in ("stuck", "alerts", "journal"))
_STALLS = "tests/orchestration/test_stall.py"

MUTANTS = (
    Mutant(
        "what is stuck is ended for ever",
        _HEALING,
        "            if len(self._ended[name]) >= _MOST:\n",
        "            if False:\n",
        "what is stuck again and again is left alone",
        (f"{_STUCK}::test_what_is_stuck_again_and_again_is_left_alone_in_the_end",),
    ),
    Mutant(
        "whoever halts a process for a moment loses it",
        _HEALING,
        "            if now_s - since < _SEEN_SECONDS:\n",
        "            if False:\n",
        "a process that somebody looks at is left alone",
        (f"{_STUCK}::test_a_halted_process_is_ended_and_started_again_and_the_condition_says_so",),
    ),
    Mutant(
        "a run that was halted is not ended before its limit",
        _STALL,
        '        if not states or states[0] not in "Tt":\n',
        "        if True:\n",
        "a halted run is ended after seconds",
        (f"{_STALLS}::test_one_that_was_halted_has_to_be_ended_although_its_limit_is_far",),
    ),
    Mutant(
        "a run that says nothing new gets on",
        _STALL,
        "        if now - self._got_on_at > self._limit:\n",
        "        if now - self._got_on_at > 1e9:\n",
        "runs have a limit",
        (f"{_STALLS}::test_one_that_sleeps_has_to_be_ended_and_one_that_computes_has_not",),
    ),
    Mutant(
        "a run that was just made is lost",
        _LOST,
        "create_timestamp.astimezone(utc_now().tzinfo) < _GRACE:\n",
        "create_timestamp.astimezone(utc_now().tzinfo) < -_GRACE:\n",
        "a run has a moment to be launched",
        ("tests/orchestration/test_lost_runs.py",),
    ),
    Mutant(
        "a collector that writes no status works",
        "orchestration/observe/collecting.py",
        "            if silent > _SILENT_SECONDS:\n",
        "            if False:\n",
        "a collector that hangs is found",
        (f"{_CONDITIONS}/test_machine.py::test_what_a_collector_reports_and_that_it_reports_nothing",),
    ),
    Mutant(
        "a collector that stores nothing works",
        "orchestration/observe/collecting.py",
        "            or self._work.get(name, (None,))[0] != work\n",
        "            or True\n",
        "one that lives but does not work is found",
        (f"{_STUCK}::test_a_collector_with_messages_that_stores_none_is_stuck_unless_it_says_why",),
    ),
    Mutant(
        "a collector that has nothing to do is stuck",
        "orchestration/observe/collecting.py",
        '            not status.get("unacknowledged")\n            or status.get("error")\n',
        '            status.get("error")\n',
        "it works when there is nothing to do",
        (f"{_STUCK}::test_a_collector_with_messages_that_stores_none_is_stuck_unless_it_says_why",),
    ),
    Mutant(
        "who answers nobody works",
        "orchestration/observe/probes.py",
        "            if question.ask():\n",
        "            if question.ask() or True:\n",
        "a process that lives and answers nobody is found",
        (f"{_STUCK}::test_who_answers_nobody_is_stuck_after_its_patience_and_a_new_process_gets_as_much",),
    ),
    Mutant(
        "a stream whose position stays is at work",
        "orchestration/sensors/standstill.py",
        "(lag.position, since if position == lag.position else now_s)",
        "(lag.position, now_s)",
        "a run that lives and lands nothing is found",
        (f"{_STUCK}::test_a_stream_whose_position_stays_while_events_are_unread_is_stalled",),
    ),
    Mutant(
        "what is not known is over",
        "orchestration/conditions/journal.py",
        "            if key not in found and condition.finding.name not in unknown:\n",
        "            if key not in found:\n",
        "a look that says nothing closes nothing",
        (f"{_JOURNAL}::test_kinds_of_which_nothing_is_known_stay_as_they_are",),
    ),
    Mutant(
        "an alert that was refused counts as delivered",
        "orchestration/observe/courier.py",
        "        if not answer.why:\n            faultpoint",
        "        if True:\n            faultpoint",
        "an alert that could not be delivered is kept",
        (f"{_ALERTS}::test_what_the_webhook_refuses_is_kept_and_posted_in_order",),
    ),
    Mutant(
        "an alert is posted again and again",
        "orchestration/reactions/entries.py",
        '    if op in ("tried", "delivered", "failed", "dismissed", "suppressed", "held"):\n',
        '    if op in ("tried", "failed", "dismissed", "suppressed", "held"):\n',
        "each opening reaches the webhook once",
        (f"{_ALERTS}::test_an_opening_and_its_end_are_posted_once_each",),
    ),
    Mutant(
        "the time in which nothing ran counts as time that a condition lasted",
        "orchestration/observe/watchman.py",
        "        self._inherited = {each.number for each in self._journal.open()}\n",
        "        self._inherited = set[int]()\n",
        "what a killed system saw for a moment is not posted by the next one",
        (
            f"{_ALERTS}::test_what_a_killed_system_saw_for_a_moment_and_the_next_one_does_not_see_is_not_posted",
        ),
    ),
    Mutant(
        "that all is well again is told to nobody",
        "orchestration/observe/watchman.py",
        "            names = [each.name for each in reactions if each.name in hear and each.all_well]\n",
        "            names = list[str]()\n",
        "the end of a condition reaches the webhook",
        (f"{_ALERTS}::test_an_opening_and_its_end_are_posted_once_each",),
    ),
    Mutant(
        "an error shows the webhook's address",
        "orchestration/conditions/webhook.py",
        '        return Answer(f"the address cannot be used ({type(error).__name__})")\n',
        '        return Answer(f"the address cannot be used ({error})")\n',
        "no error holds a token",
        (f"{_ALERTS}::test_no_reason_shows_the_address_path",),
    ),
    Mutant(
        "a look that hangs is as good as the last one",
        "orchestration/observe/observer.py",
        "        if began_at is not None and time.monotonic() - began_at > _HANGS_SECONDS:\n",
        "        if False:\n",
        "a database that hangs is found",
        (f"{_CONDITIONS}/test_machine.py::test_a_database_that_hangs_is_found_while_the_look_at_it_hangs",),
    ),
    Mutant(
        "an alert is handed over before the ledger has it",
        "orchestration/reactions/ledger.py",
        '"at": at})\n            self._file.write()\n        faultpoint("reactions.noted")\n',
        '"at": at})\n        faultpoint("reactions.noted")\n',
        "a kill after the journal's line loses no alert",
        ("tests/fault/test_kills_reactions.py",),
    ),
    Mutant(
        "ends do not wait for their opening",
        "orchestration/reactions/parcels.py",
        "not may(notice.key):\n            blocked.add(notice.about)\n",
        "not may(notice.key):\n            pass\n",
        "of one condition the opening is taken before the end",
        (
            "tests/orchestration/reactions/test_delivery.py"
            "::test_one_alert_that_is_refused_holds_up_no_other_and_has_a_way_back",
        ),
    ),
)
