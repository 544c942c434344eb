"""Rules and their alerts: edges, hysteresis, late readings, and conditions that do not flood anybody."""

from tests.fault.mutations.mutant import Mutant

_RUNS, _SCOPES = (f"orchestration/dbt/package/macros/alert_{name}.sql" for name in ("runs", "scopes"))
_NOTED = "orchestration/conditions/rule_alerts.py"
_LAW = "tests/dbt_project/test_alert_runs.py"
_PAGE = "tests/scaffold/test_rules_page.py"
_CONDITIONS = "tests/orchestration/conditions/test_rule_alerts.py"
_SILENCE = "tests/orchestration/conditions/test_silence.py"

MUTANTS = (
    Mutant(
        "an alert closes at the value at which it opens",
        _RUNS,
        "        coalesce(try_cast(close_threshold as double), threshold::double) as close_threshold,\n",
        "        threshold::double as close_threshold,\n",
        "hysteresis holds an alert open",
        (_LAW, _PAGE),
    ),
    Mutant(
        "a late reading is judged without the run into which it falls",
        _SCOPES,
        "coalesce(min(runs.first_at), touched.first_new_at)",
        "coalesce(touched.first_new_at, min(runs.first_at))",
        "batches in any order give what a refresh gives",
        (_LAW,),
    ),
    Mutant(
        "what ends an alert long after its last breach is not looked for",
        _RUNS,
        "    where is_breach or is_quiet\n    group by rule_id, alert_key, bucket_at\n",
        "    group by rule_id, alert_key, bucket_at\n",
        "an alert whose values hover for long between both thresholds ends",
        (_LAW,),
    ),
    Mutant(
        "a rule that many keys break names more as others close",
        _NOTED,
        "            others = () if was_many else (",
        "            others = (",
        "thousands of keys are a few posts",
        (_CONDITIONS,),
    ),
    Mutant(
        "an alert that is over stays a condition",
        "orchestration/assets/rule_alerts.py",
        "            where closed_at is null and severity in",
        "            where severity in",
        "a condition closes with its alert",
        (_PAGE,),
    ),
    Mutant(
        "one outage makes the next one usual",
        "ingestion/watch/silence.py",
        "limit 1 offset 1)",
        "limit 1)",
        "a stream that falls silent is named",
        (_SILENCE,),
    ),
    Mutant(
        "a stream is silent while nothing of Millrace runs",
        "ingestion/watch/silence.py",
        "epoch(first_at - max(last_at) over",
        "epoch(read_at - max(read_at) over",
        "silence is the stream's own",
        (_SILENCE,),
    ),
    Mutant(
        "a mart that was late once is late for ever",
        "orchestration/observe/budgets.py",
        '            and check.outcome == "warned"\n',
        "",
        "a good report ends what was late",
        ("tests/orchestration/conditions/test_budgets.py",),
    ),
    Mutant(
        "what failed in an earlier cycle is forgotten",
        "orchestration/run/earlier.py",
        "        if not times:\n",
        "        if True:\n",
        "a failure that a later cycle passes can still be seen",
        ("tests/orchestration/test_earlier.py",),
    ),
)
