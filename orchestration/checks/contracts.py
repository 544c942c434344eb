"""Data contracts as values: reading them, and the checks that they hold, without a database and without Soda.

Running a contract is soda.py; contracts of the raw tables are generated in raw_contracts.py.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import yaml

from ingestion.errors import ConfigError

Severity = Literal["error", "warn"]

_ZERO = frozenset({"missing", "invalid", "duplicate", "failed_rows"})
CHECK_TYPES = _ZERO | {"schema", "row_count", "freshness", "aggregate", "metric"}
_COMPARISONS = {
    "must_be": "=",
    "must_not_be": "<>",
    "must_be_greater_than": ">",
    "must_be_greater_than_or_equal": ">=",
    "must_be_less_than": "<",
    "must_be_less_than_or_equal": "<=",
    "greater_than": ">",
    "greater_than_or_equal": ">=",
    "less_than": "<",
    "less_than_or_equal": "<=",
}


@dataclass(frozen=True)
class Contract:
    """What one table promises, in Soda's contract language.

    Attributes:
        schema: Schema of the table.
        table: Name of the table.
        text: The contract, YAML.
        origin: Where it comes from, for messages: a file name, or what generated it.
    """

    schema: str
    table: str
    text: str
    origin: str

    @property
    def dataset(self) -> str:
        """`schema.table`."""
        return f"{self.schema}.{self.table}"


@dataclass(frozen=True)
class ContractCheck:
    """One promise of a contract.

    Attributes:
        name: Unique within the contract and stable: column, type and qualifier, as in `position_missing`.
        description: What is promised, as a clause: "event_id is unique".
        severity: Whether a breach is a failure or a warning.
        threshold: What the measure has to be: "= 0", "< 10 minutes".
        type: Soda's check type.
        path: Soda's path of the check within the contract.
        breach: SQL clause that selects the rows that break it; empty where no single row does.
    """

    name: str
    description: str
    severity: Severity
    threshold: str
    type: str
    path: str
    breach: str


def load_contract(path: Path) -> Contract:
    """Read a contract file.

    Raises:
        ConfigError: The file cannot be read or is not a contract.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the contract {path.name} cannot be read: {error}") from None
    dataset = str(_document(text, path.name).get("dataset", ""))
    parts = dataset.split("/")
    if len(parts) != 3 or not all(parts):
        raise ConfigError(
            f"{path.name}: 'dataset' is '{dataset}' but must name the lake, a schema and a table,"
            " as in lake/marts/orders"
        )
    contract = Contract(parts[1], parts[2], text, path.name)
    list_checks(contract)
    return contract


def read_contracts(
    folders: Iterable[Path], models: Set[str], *, left_out: Set[str]
) -> tuple[dict[str, Contract], tuple[str, ...]]:
    """The contracts of the models: <model>.yml in one of the folders.

    Args:
        folders: Where they are.
        models: Names of the models that can be built.
        left_out: Names of those that cannot be built now; their contracts wait.

    Returns:
        Model's name → contract, and a sentence for each file that is not a contract of a model.
    """
    contracts, problems = dict[str, Contract](), list[str]()
    for path in sorted(path for folder in folders for path in folder.glob("*.yml")):
        try:
            if path.stem in models:
                contracts[path.stem] = load_contract(path)
            elif path.stem not in left_out:
                raise ConfigError(
                    f"{path.name} is named for '{path.stem}', which is not a model; rename or remove it"
                )
        except ConfigError as error:
            problems.append(
                f"{path.parent.parent.name}/{path.parent.name}/{path.name} is not checked: {error}. "
                "Once corrected, it is taken up at once."
            )
    return contracts, tuple(problems)


def declares_variable(contract: Contract, name: str) -> bool:
    """Whether the contract declares a variable of this name, which a run may set."""
    return name in (_document(contract.text, contract.origin).get("variables") or {})


@lru_cache(maxsize=256)
def list_checks(contract: Contract) -> tuple[ContractCheck, ...]:
    """The checks of a contract, in its order; needs no database.

    Raises:
        ConfigError: The contract is malformed, or two of its checks have the same name.
    """
    checks = tuple(_read_checks(contract))
    seen: dict[str, ContractCheck] = {}
    for check in checks:
        if check.name in seen:
            raise ConfigError(
                f"{contract.origin}: two checks are named '{check.name}'; give one of them a 'qualifier'"
            )
        seen[check.name] = check
    return checks


def _read_checks(contract: Contract) -> Iterator[ContractCheck]:
    document = _document(contract.text, contract.origin)
    columns = document.get("columns")
    if not isinstance(columns, list) or not all(isinstance(column, Mapping) for column in columns):
        raise ConfigError(f"{contract.origin}: 'columns' must be a list of columns with a 'name'")
    for item in document.get("checks") or []:
        yield _read_check(contract, item, None)
    for column in columns:
        if "name" not in column:
            raise ConfigError(f"{contract.origin}: a column has no 'name'")
        for item in column.get("checks") or []:
            yield _read_check(contract, item, str(column["name"]))


def _read_check(contract: Contract, item: Any, column: str | None) -> ContractCheck:
    where = f"{contract.origin}, {f'column {column}' if column else 'checks'}"
    if not isinstance(item, Mapping) or len(item) != 1:
        raise ConfigError(f"{where}: {item!r} is not a check; write its type with a colon, as in 'missing:'")
    kind, body = next(iter(item.items()))
    if kind not in CHECK_TYPES:
        raise ConfigError(f"{where}: '{kind}' is not a check; known are {', '.join(sorted(CHECK_TYPES))}")
    body = {} if body is None else body
    if not isinstance(body, Mapping):
        raise ConfigError(f"{where}: '{kind}' must be empty or a mapping, not {body!r}")
    threshold = body.get("threshold") or {}
    qualifier = str(body.get("qualifier", ""))
    path = (["columns", column] if column else []) + ["checks", kind] + ([qualifier] if qualifier else [])
    return ContractCheck(
        name=_slug("_".join(part for part in (column, kind, qualifier) if part)),
        description=str(body.get("name") or _describe(kind, column, body)),
        severity="warn" if threshold.get("level") == "warn" else "error",
        threshold=_threshold(kind, threshold),
        type=kind,
        path=".".join(path),
        breach=_breach(kind, column, body),
    )


def _breach(kind: str, column: str | None, body: Mapping[str, Any]) -> str:
    """Only for promises that one clause expresses; for others the measuring statement is shown."""
    if set(body) - {"name", "qualifier", "threshold", "expression", "columns", "valid_values", "valid_min"}:
        return ""
    quoted = ", ".join(f'"{name}"' for name in body.get("columns") or ([column] if column else []))
    if kind == "failed_rows" and "expression" in body:
        return f"where {str(body['expression']).strip()}"
    if kind == "missing":
        return f"where {quoted} is null"
    if kind == "duplicate":
        return f"qualify count(*) over (partition by {quoted}) > 1"
    if kind == "invalid" and "valid_min" in body and "valid_values" not in body:
        return f"where {quoted} < {body['valid_min']}"
    if kind == "invalid" and "valid_values" in body and "valid_min" not in body:
        values = ", ".join("'" + str(value).replace("'", "''") + "'" for value in body["valid_values"])
        return f"where {quoted}::varchar not in ({values})"
    return ""


def _describe(kind: str, column: str | None, body: Mapping[str, Any]) -> str:
    subject = column or ", ".join(map(str, body.get("columns") or ())) or str(body.get("column", ""))
    return {
        "schema": "columns and types are the declared ones",
        "missing": f"{subject} has a value in every row",
        "invalid": f"{subject} has valid values only",
        "duplicate": f"{subject} is unique",
        "row_count": "the number of rows is right",
        "freshness": f"{subject} is recent",
        "failed_rows": f"no row has {body.get('expression', 'what the query finds')}",
        "aggregate": f"the {body.get('function', 'value')} of {subject} is right",
        "metric": "the measure is right",
    }[kind]


def _threshold(kind: str, threshold: Mapping[str, Any]) -> str:
    unit = "%" if threshold.get("metric") == "percent" else ""
    if "unit" in threshold:
        unit = f" {threshold['unit']}s"
    for key, word in (("must_be_between", " and "), ("must_be_not_between", " or ")):
        if key in threshold:
            return word.join(f"{_COMPARISONS[name]} {limit}{unit}" for name, limit in threshold[key].items())
    for name, sign in _COMPARISONS.items():
        if name in threshold:
            return f"{sign} {threshold[name]}{unit}"
    return "= 0" if kind in _ZERO else "> 0" if kind == "row_count" else "as declared"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9_]+", "_", text.lower())


@lru_cache(maxsize=256)
def _document(text: str, origin: str) -> Mapping[str, Any]:
    try:
        document = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{origin} line {line} is not YAML: {error.problem}") from None
    if not isinstance(document, Mapping):
        raise ConfigError(f"{origin}: a contract is a mapping with 'dataset' and 'columns'")
    return document
