"""What a dbt command did, node by node, as plain values, and its failures as sentences.

Read from dbt's own result objects; nothing here runs dbt (runner.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ingestion.errors import MillraceError
from orchestration.dbt.blame import in_one_line

_FAILED = frozenset({"error", "fail", "runtime error"})
_FILE = re.compile(r"\((\S+\.\w+)\)")  # a heading of dbt's ends with the node's file
_CONFLICTS = ("Another run wrote", "Transaction conflict")  # one_writer.sql, DuckLake


@dataclass(frozen=True)
class NodeResult:
    """The result of one node.

    Attributes:
        unique_id: dbt's id, such as ``model.project.name``.
        status: as dbt names it: success, pass, warn, fail, error, skipped, no-op, partial success.
        seconds: time it took.
        rows_affected: rows that the adapter reports as written; None when it reports none.
        message: dbt's message, None when there is none.
        failures: rows a test found; None for other nodes.
        relation: the table or view, quoted; None for a test.
        sql: the compiled statement; a test's selects the failing rows. None for a seed.
        cpu_seconds: of all threads of this process meanwhile; None where it was not measured.
        began_at: when it began, UTC; None for a node that was not run.
    """

    unique_id: str
    status: str
    seconds: float
    rows_affected: int | None
    message: str | None
    failures: int | None
    relation: str | None
    sql: str | None = None
    cpu_seconds: float | None = None
    began_at: datetime | None = None

    @property
    def failed(self) -> bool:
        """Whether the node was run and went wrong; a skipped node was not run."""
        return self.status in _FAILED


@dataclass(frozen=True)
class DbtResult:
    """What a command did.

    Attributes:
        nodes: in the order in which they ended.
    """

    nodes: tuple[NodeResult, ...]


class DbtFailed(MillraceError):
    """A dbt command failed; the message names each failing node and why, then the command.

    Attributes:
        nodes: the results of all nodes, those that went well included.
    """

    def __init__(self, message: str, nodes: tuple[NodeResult, ...] = ()) -> None:
        super().__init__(message)
        self.nodes = nodes


def read_nodes(result: Any, costs: Mapping[str, float] | None = None) -> tuple[NodeResult, ...]:
    """Read the results of nodes from what dbtRunner returns; empty for commands that run no nodes.

    Args:
        result: dbt's.
        costs: CPU-seconds of each node, by dbt's id.
    """
    found, costs = getattr(result, "results", None) or (), costs or {}
    return tuple(_read(one, costs.get(one.node.unique_id)) for one in found)


def failure(command: str, nodes: tuple[NodeResult, ...], exception: Exception | None) -> DbtFailed:
    """Build the exception for a failed command.

    Args:
        command: what was run, as a user would type it.
        nodes: results so far.
        exception: what dbt itself raised, if it did.
    """
    sentences = [_sentence(node) for node in nodes if node.failed]
    skipped = sum(node.status == "skipped" for node in nodes)
    if skipped:
        sentences.append(f"{skipped} nodes downstream were skipped.")
    if exception is not None:
        sentences.append(f"dbt stopped: {_one_line(str(exception))}.")
    if any(conflict in sentence for sentence in sentences for conflict in _CONFLICTS):
        sentences.append("Another writer committed first: run the command again.")
    return DbtFailed(f"{' '.join(sentences)} The command was `{command}`.".strip(), nodes)


def why_failed(node: NodeResult) -> str:
    """Why a node failed, in one line: its file or, of a test, its name, then dbt's reason."""
    text = in_one_line(node.message or "") or "dbt gave no reason"
    kind, _, rest = node.unique_id.partition(".")
    if kind in ("test", "unit_test"):
        return f"its test {rest.split('.')[1]}: {text}"
    file = _FILE.search((node.message or "").partition("\n")[0])
    return f"{file[1]}: {text}" if file else text


def _sentence(node: NodeResult) -> str:
    return f"{node.unique_id} ({node.status}): {_one_line(node.message or 'no message')}."


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")


def _read(one: Any, cpu_seconds: float | None) -> NodeResult:
    rows = (one.adapter_response or {}).get("rows_affected")
    node = one.node
    is_test = node.resource_type in ("test", "unit_test")
    return NodeResult(
        unique_id=node.unique_id,
        status=str(one.status),
        seconds=one.execution_time,
        # Adapters write -1 for "not known".
        rows_affected=rows if isinstance(rows, int) and rows >= 0 else None,
        message=one.message,
        failures=one.failures,
        relation=None if is_test else getattr(node, "relation_name", None),
        sql=getattr(node, "compiled_code", None),
        cpu_seconds=cpu_seconds,
        began_at=_began_at(one),
    )


def _began_at(one: Any) -> datetime | None:
    times = [step.started_at for step in one.timing or () if step.started_at is not None]
    return min((at if at.tzinfo else at.replace(tzinfo=UTC) for at in times), default=None)
