"""Loss before the broker: what senders have numbered and never came is named, and nothing else."""

from tests.fault.mutations.mutant import Mutant

_MACROS = "orchestration/dbt/package/macros"
_RULES, _BATCHES, _CHECKS = (
    "tests/dbt_project/test_sequence_rules.py",
    "tests/dbt_project/test_sequence_batches.py",
    "tests/orchestration/checks/test_sequences.py",
)

MUTANTS = (
    Mutant(
        "what is late is a restart",
        f"{_MACROS}/sequence_gaps.sql",
        "                    or distance < -reorder\n",
        "                    or distance < 0\n",
        "a late event closes its gap",
        (_RULES,),
    ),
    Mutant(
        "a single number may be missing",
        f"{_MACROS}/sequence_gaps.sql",
        "    where first_place > reach + 1 or",
        "    where first_place > reach + 2 or",
        "every missing number is named",
        (_RULES,),
    ),
    Mutant(
        "an event inside of a run leaves it whole",
        f"{_MACROS}/sequence_state.sql",
        "            and (fresh.event_at, fresh.index) < (runs.last_at, runs.last_index)\n",
        "            and (fresh.event_at, fresh.index) < (runs.first_at, runs.first_index)\n",
        "batches in any order show what a refresh shows",
        (_BATCHES,),
    ),
    Mutant(
        "a correction leaves the number that it replaced",
        f"{_MACROS}/sequence_state.sql",
        "mark.get('declared') == declared and not millrace.has_replaced(stream, staged, reading.mark)",
        "mark.get('declared') == declared",
        "batches with corrections show what a refresh shows",
        (_BATCHES,),
    ),
    Mutant(
        "nobody is told what never came",
        "orchestration/conditions/gaps.py",
        "        if missing.numbers > sequence.warn:\n",
        "        if missing.numbers > sequence.warn + 1_000:\n",
        "a gap is a condition",
        (_CHECKS,),
    ),
    Mutant(
        "a gap counts before it could be filled",
        "ingestion/watch/sequences.py",
        "        if age >= late and not",
        "        if not",
        "a late event has its time",
        (_CHECKS,),
    ),
    Mutant(
        "accepting gaps accepts those to come",
        "ingestion/land/accepted_gaps.py",
        "            row = [stream, sender, until, clock(), note.strip()]\n",
        "            row = [stream, sender, clock(), clock(), note.strip()]\n",
        "what is lost later is reported again",
        (_CHECKS,),
    ),
)
