"""What a check found: Soda's results as plain values, each with one sentence about it.

Only a number that was measured can pass; everything else is could_not_run. Running is soda.py.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from orchestration.checks.contracts import Contract, ContractCheck

Result = Literal["passed", "failed", "warned", "could_not_run"]

_FOUND = {
    "missing": ("row without a value", "rows without a value"),
    "invalid": ("invalid value", "invalid values"),
    "duplicate": ("duplicate", "duplicates"),
    "failed_rows": ("row that breaks it", "rows that break it"),
    "row_count": ("row", "rows"),
}
_SECRETS = re.compile(
    r"(?i)(password|secret|passfile|token|key_id)(\s*[=:]\s*)('[^']*'|\"[^\"]*\"|[^\s,;)]+)"
)
_URL_PASSWORD = re.compile(r"(://[^:/@\s]*:)[^@\s]*@")


@dataclass(frozen=True)
class Outcome:
    """What one check found.

    Attributes:
        check: Name of the check.
        result: "failed" and "warned" are about the data; "could_not_run" is not.
        measured: The number found, or for the schema check the differences; None when nothing was measured.
        threshold: What it has to be.
        query: The SQL that was run on the lake; empty when none was.
        message: One sentence.
        snapshot_id: The version of the lake that was looked at; None when none was.
        reproduce: SQL on the lake that shows it again, at that version; empty when it passed.
    """

    check: str
    result: Result
    measured: float | str | None
    threshold: str
    query: str
    message: str
    snapshot_id: int | None = None
    reproduce: str = ""


@dataclass(frozen=True)
class Statement:
    """A statement that Soda ran, and the first line of its error."""

    sql: str
    error: str | None


def judge(
    contract: Contract, check: ContractCheck, result: Any, statements: Sequence[Statement]
) -> Outcome | None:
    """The outcome of a check, or None when Soda's result says nothing about the data.

    Args:
        contract: The contract that is run.
        check: The check to judge.
        result: Soda's CheckResult, or None.
        statements: What was run, for the outcome's query.
    """
    if result is None or result.is_not_evaluated:
        return None
    measured: float | str | None
    if check.type == "schema":
        measured = _differences(result)
    elif isinstance(result.threshold_value, int | float) and math.isfinite(result.threshold_value):
        measured = float(result.threshold_value)
    elif (
        check.type == "freshness"
        and (result.diagnostic_metric_values or {}).get("check_rows_tested") is not None
    ):
        measured = None
    else:
        return None
    breach: Result = "warned" if check.severity == "warn" else "failed"
    verdict: Result = "passed" if result.is_passed else "warned" if result.is_warned else breach
    if verdict == "passed" and _is_ahead(check, measured):
        verdict = breach
    return Outcome(
        check.name,
        verdict,
        measured,
        check.threshold,
        _query(check, statements),
        _message(contract, check, verdict, measured),
    )


def unknown(
    contract: Contract, check: ContractCheck, reason: str, statements: Sequence[Statement] = ()
) -> Outcome:
    """The outcome of a check that could not run.

    Args:
        contract: The contract that was to be run.
        check: The check.
        reason: Why, as a clause without secrets.
        statements: What was run nevertheless.
    """
    message = f"{contract.dataset}: whether {check.description} is not known, because {reason.rstrip('.')}."
    return Outcome(check.name, "could_not_run", None, check.threshold, _query(check, statements), message)


def first_line(error: Exception | str) -> str:
    """The first line of an error, without what looks like a credential."""
    text = str(error).strip() or type(error).__name__
    line = re.sub(r"\s+", " ", text.splitlines()[0])
    return _URL_PASSWORD.sub(r"\1***@", _SECRETS.sub(r"\1\2***", line))


def _is_ahead(check: ContractCheck, measured: float | str | None) -> bool:
    """Whether the newest time is further ahead of the clock than it may be old: it says nothing of today."""
    if check.type != "freshness" or not isinstance(measured, float) or measured >= 0:
        return False
    limit = re.match(r"<=? ([\d.]+)", check.threshold)
    return limit is None or -measured >= float(limit[1])


def _message(contract: Contract, check: ContractCheck, verdict: Result, measured: float | str | None) -> str:
    if verdict == "passed":
        return f"{contract.dataset}: {check.description}."
    found = _found(check, measured)
    return (
        f"{contract.dataset}: expected that {check.description}, but {found} (required: {check.threshold})."
    )


def _found(check: ContractCheck, measured: float | str | None) -> str:
    if measured is None:
        return "there are no rows to measure"
    if isinstance(measured, str):
        return measured
    number = f"{measured:.12g}"
    if check.type == "freshness":
        unit = check.threshold.split()[-1]
        if measured < 0:
            return f"the newest is {-measured:.4g} {unit} ahead of the clock"
        return f"the newest is {measured:.4g} {unit} old"
    if check.threshold.endswith("%"):
        return f"found {number}%"
    singular, plural = _FOUND.get(check.type, ("", ""))
    return f"found {number} {singular if measured == 1 else plural}".rstrip()


def _differences(result: Any) -> str:
    parts = [f"column {name} is missing" for name in result.expected_column_names_not_actual]
    parts += [f"column {name} is not declared" for name in result.actual_column_names_not_expected]
    parts += [
        f"column {difference.column} is {difference.actual_data_type} and not {difference.get_expected()}"
        for difference in result.column_data_type_mismatches
    ]
    parts += ["the columns are in another order"] if result.are_columns_out_of_order else []
    return ", ".join(parts) or "as declared"


def _query(check: ContractCheck, statements: Sequence[Statement]) -> str:
    """The statement that measured a check; Soda bundles all but the schema into one where it can."""
    on_schema = check.type == "schema"
    matching = [one.sql for one in statements if ("information_schema" in one.sql) == on_schema]
    return matching[0].strip() if matching else ""
