"""Contracts on a real DuckLake: four results, one for every check, and nothing left behind."""

import json
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from orchestration.checks.contracts import (
    list_checks,
)
from orchestration.checks.soda import verify
from tests.orchestration.checks.helpers import NOW, contract_of, not_passed, results
from tests.repository import REPOSITORY

FOUR = """
checks:
  - schema:
  - freshness: {column: seen_at, threshold: {level: warn, unit: minute, must_be_less_than: 10}}
columns:
  - {name: id, data_type: bigint, checks: [missing: , duplicate: ]}
  - name: degrees
    data_type: double
    checks: [invalid: {valid_max: 100, name: no machine melts}]
  - {name: seen_at, data_type: timestamp with time zone}
  - {name: gone, data_type: varchar, checks: [missing: ]}
"""


def test_each_result_comes_from_data(lab: duckdb.DuckDBPyConnection) -> None:
    lab.execute("create table lab.four (id bigint, degrees double, seen_at timestamptz)")
    lab.execute(
        "insert into lab.four values (1, 20, ?), (2, 900, ?), (3, null, null)", [NOW - timedelta(hours=1)] * 2
    )
    contract = contract_of("four", FOUR)
    outcomes = {one.check: one for one in verify(lab, contract, now=NOW)}

    assert list(outcomes) == [check.name for check in list_checks(contract)]
    assert {name: one.result for name, one in outcomes.items()} == {
        "schema": "failed",
        "freshness": "warned",
        "id_missing": "passed",
        "id_duplicate": "passed",
        "degrees_invalid": "failed",
        "gone_missing": "could_not_run",
    }
    assert outcomes["schema"].measured == "column gone is missing"
    assert outcomes["freshness"].measured == 60
    assert (outcomes["degrees_invalid"].measured, outcomes["degrees_invalid"].threshold) == (1, "= 0")
    assert outcomes["degrees_invalid"].message == (
        "lab.four: expected that no machine melts, but found 1 invalid value (required: = 0)."
    )
    assert "but the newest is 60 minutes old (required: < 10 minutes)" in outcomes["freshness"].message
    assert outcomes["gone_missing"].measured is None
    assert '"gone" not found' in outcomes["gone_missing"].message


def test_the_query_of_an_outcome_runs_again(lab: duckdb.DuckDBPyConnection) -> None:
    lab.execute("create table lab.four (id bigint, degrees double, seen_at timestamptz, gone varchar)")
    for outcome in verify(lab, contract_of("four", FOUR), now=NOW):
        assert ("information_schema" in outcome.query) == (outcome.check == "schema")
        assert lab.execute(outcome.query).fetchall()


def test_without_its_table_nothing_passes(lab: duckdb.DuckDBPyConnection) -> None:
    outcomes = verify(lab, contract_of("absent", FOUR))
    assert {one.result for one in outcomes} == {"could_not_run"}
    assert len(outcomes) == len(list_checks(contract_of("absent", FOUR)))
    assert all("lab.absent does not exist yet" in one.message for one in outcomes)


@pytest.mark.parametrize("expression", ["no_such_function(word)", "word::integer > 1", "sum(id) >"])
def test_an_sql_error_costs_one_check_only(lab: duckdb.DuckDBPyConnection, expression: str) -> None:
    lab.execute("create table lab.words as select 1::bigint as id, 'a' as word")
    body = f"""
checks:
  - schema:
  - failed_rows: {{qualifier: bad, expression: "{expression}"}}
  - failed_rows: {{qualifier: good, expression: id > 5}}
columns:
  - {{name: id, data_type: bigint, checks: [missing: ]}}
  - {{name: word, data_type: varchar}}
"""
    outcomes = verify(lab, contract_of("words", body))
    assert not_passed(outcomes) == {"failed_rows_bad": "could_not_run"}
    assert "because" in outcomes[1].message
    assert expression in outcomes[1].query


def test_a_check_without_rows_to_measure_does_not_pass(lab: duckdb.DuckDBPyConnection) -> None:
    lab.execute("create table lab.empty (id bigint, seen_at timestamptz)")
    body = """
checks:
  - row_count:
  - freshness: {qualifier: must, column: seen_at, threshold: {unit: hour, must_be_less_than: 1}}
  - freshness:
      {qualifier: should, column: seen_at, threshold: {level: warn, unit: hour, must_be_less_than: 1}}
columns:
  - {name: id, checks: [aggregate: {function: avg, threshold: {must_be_greater_than: 0}}]}
  - {name: seen_at}
"""
    assert results(verify(lab, contract_of("empty", body))) == {
        "row_count": "failed",
        "freshness_must": "failed",
        "freshness_should": "warned",
        "id_aggregate": "could_not_run",
    }


@pytest.mark.parametrize(("minutes", "result"), [(-9, "passed"), (-10, "warned"), (-40_000_000, "warned")])
def test_a_negative_age_is_not_fresh(lab: duckdb.DuckDBPyConnection, minutes: int, result: str) -> None:
    """As far ahead as it may be old, a time still says that something came; beyond that it says nothing."""
    lab.execute(
        "create or replace table lab.ahead as select ?::timestamptz as seen_at",
        [NOW - timedelta(minutes=minutes)],
    )
    body = FOUR.split("columns:")[0] + "columns:\n  - {name: seen_at, data_type: timestamp with time zone}\n"
    outcomes = {one.check: one for one in verify(lab, contract_of("ahead", body), now=NOW)}
    assert outcomes["freshness"].result == result
    if result == "warned":
        assert f"the newest is {-minutes:.4g} minutes ahead of the clock" in outcomes["freshness"].message


def test_a_dead_connection_is_no_verdict(tmp_path: Path) -> None:
    connection = duckdb.connect()
    no_lake = verify(connection, contract_of("four", FOUR))
    connection.close()
    closed = verify(connection, contract_of("four", FOUR))
    assert {one.result for one in (*no_lake, *closed)} == {"could_not_run"}


def test_the_connection_is_left_as_it_was(lab: duckdb.DuckDBPyConnection) -> None:
    lab.execute("create table lab.four (id bigint, degrees double, seen_at timestamptz)")
    lab.execute("insert into lab.four values (1, 20, now())")
    lab.execute("use lake.lab")
    lab.execute("begin")
    lab.execute("insert into four values (1, 20, now())")
    lab.execute("select range from range(3)")
    first = lab.fetchone()
    outcomes = results(verify(lab, contract_of("four", FOUR)))
    assert (first, lab.fetchall()) == ((0,), [(1,), (2,)])
    assert outcomes["id_duplicate"] == "passed", "what is not committed is not seen"
    assert outcomes["gone_missing"] == "could_not_run"
    lab.execute("commit")
    assert lab.execute("select current_schema(), count(*) from four").fetchall() == [("lab", 2)]
    assert results(verify(lab, contract_of("four", FOUR)))["id_duplicate"] == "failed"
    lab.execute("use lake.main")


QUIET = """
import json, logging, os, sys, threading
heard = []
dotenv = logging.getLogger("dotenv.main")
dotenv.setLevel(logging.DEBUG)
handler = logging.Handler()
handler.emit = lambda record: heard.append(record.getMessage())
dotenv.addHandler(handler)
events = []

def audit(name, arguments):
    if name in ("socket.connect", "socket.sendto", "socket.getaddrinfo", "subprocess.Popen"):
        events.append([name, str(arguments)])
    if name == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        events.append([name, str(arguments)])

sys.addaudithook(audit)
from orchestration.checks.contracts import Contract
from orchestration.checks.soda import verify
light = "soda_core" not in sys.modules
import duckdb
connection = duckdb.connect()
connection.execute("attach ':memory:' as lake; create table lake.t as select 1::bigint as id")
contract = Contract("main", "t", sys.argv[1], "test")
outcomes = verify(connection, contract)
print(json.dumps({
    "light": light, "events": events, "threads": threading.active_count(), "heard": heard,
    "handlers": len(logging.root.handlers), "results": [one.result for one in outcomes],
    "on_disk": sorted(os.listdir()),
}))
"""


def test_soda_reports_to_nobody_and_leaves_nothing(tmp_path: Path) -> None:
    checks = "missing: , missing: {qualifier: b, filter: nix}"
    text = f"""
dataset: lake/main/t
checks: [schema: ]
columns: [{{name: id, data_type: bigint, checks: [{checks}]}}]
"""
    run = subprocess.run(
        [sys.executable, "-B", "-c", QUIET, text],
        cwd=tmp_path,
        env={"PYTHONPATH": str(REPOSITORY), "HOME": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    seen = json.loads(run.stdout)
    assert seen["results"] == ["passed", "passed", "could_not_run"]
    assert seen["light"], "importing the checks must not import Soda"
    assert seen["events"] == []
    assert (seen["threads"], seen["handlers"], seen["on_disk"]) == (1, 0, [])
    assert any("disabled" in line for line in seen["heard"]), "a .env file must not reach the environment"


def test_a_contract_parsed_once_serves_every_run(lab: duckdb.DuckDBPyConnection) -> None:
    lab.execute("create table lab.four (id bigint, degrees double, seen_at timestamptz, gone varchar)")
    contract = replace(contract_of("four", FOUR), origin="parsed once")
    assert results(verify(lab, contract))["id_duplicate"] == "passed"
    lab.execute("insert into lab.four values (1, 1, now(), ''), (1, 1, now(), '')")
    assert not_passed(verify(lab, contract)) == {"id_duplicate": "failed"}
    assert not_passed(verify(lab, contract)) == {"id_duplicate": "failed"}


DECLARED = [
    ("decimal(38,2)", "total", True),
    ("numeric(38, 2)", "total", True),
    ("decimal", "total", True),
    ("decimal(10,2)", "total", False),
    ("bigint", "total", False),
    ("timestamptz", "seen_at", True),
    ("timestamp with time zone", "seen_at", True),
    ("timestamp", "seen_at", False),
    ("int8", "id", True),
    ("long", "id", True),
    ("integer", "id", False),
    ("text", "word", True),
    ("varchar[]", "words", True),
    ("bigint[]", "words", False),
    ("struct(a integer, b text)", "pair", True),
    ("no_such_type", "word", False),
]


def test_a_type_may_be_spelled_as_duckdb_understands_it(lab: duckdb.DuckDBPyConnection) -> None:
    lab.execute(
        "create table lab.typed (id bigint, total decimal(38,2), seen_at timestamptz, word varchar, "
        "words varchar[], pair struct(a integer, b varchar))"
    )
    found = {}
    for declared, column, _ in DECLARED:
        contract = contract_of(
            "typed",
            "checks: [{schema: {allow_extra_columns: true}}]\n"
            f"columns: [{{name: {column}, data_type: '{declared}'}}]\n",
        )
        (outcome,) = verify(lab, contract, now=NOW)
        found[declared, column] = outcome.result, outcome.measured
    assert {key: result == "passed" for key, (result, _) in found.items()} == {
        (declared, column): passes for declared, column, passes in DECLARED
    }
    assert found["decimal(10,2)", "total"][1] == "column total is decimal(38,2) and not decimal(10,2)"
