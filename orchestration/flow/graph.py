"""The flow of a project as plain values: sources, buffers, raw tables, models, their readers, and the arrows.

Made of the declarations and of dbt's manifest, without a database. How it is drawn: mermaid.py, svg.py.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Literal

from ingestion.connectors.registry import is_collected
from ingestion.declare.stream import Stream
from orchestration.checks.contracts import list_checks, read_contracts
from orchestration.dbt.project import BUILT_TYPES, ParsedModels, contract_folders

Stage = Literal[
    "source", "buffer", "raw", "model", "seed", "left_out", "exposure", "serving", "conditions", "reaction"
]  # fmt: skip
_LANDED = 2  # the column of the raw tables: sources and buffers are before it
_PRODUCT = "millrace"
"""The dbt package whose models describe the system itself."""


@dataclass(frozen=True)
class Node:
    """One box.

    Attributes:
        key: Unique in the flow.
        title: What it is called.
        caption: What it is, in a few words.
        stage: Where in the way of an event it stands.
        column: From left to right; an arrow leads to a higher one.
        about: What its owner says of it; may be empty.
    """

    key: str
    title: str
    caption: str
    stage: Stage
    column: int
    about: str = ""


@dataclass(frozen=True)
class Flow:
    """All boxes, and the arrows between two keys."""

    nodes: tuple[Node, ...]
    arrows: tuple[tuple[str, str], ...]


def flow_of(streams: Sequence[Stream], parsed: ParsedModels, *, with_product: bool = False) -> Flow:
    """The flow of a project.

    Args:
        streams: The declared streams.
        parsed: The dbt project; models that cannot be built are in the flow too, and called so.
        with_product: Whether the product's own models, about the system itself, are shown.
    """
    nodes, arrows = _landing(streams)
    built = {
        key: node
        for key, node in parsed.manifest["nodes"].items()
        if node["resource_type"] in BUILT_TYPES and (with_product or node["package_name"] != _PRODUCT)
    }
    left_out = {each.unique_id: each for each in parsed.broken.models}
    exposures = parsed.manifest["exposures"]
    parents = {key: _parents(node) for key, node in {**built, **exposures}.items()}
    parents |= {key: each.parents for key, each in left_out.items()}
    raw, others = _tables(
        parsed.manifest["sources"], nodes, read={each for of in parents.values() for each in of}
    )
    nodes += others
    known = raw | {key: key for key in parents}
    columns = _columns(parents, raw)
    checks = _checks(parsed)
    for key, node in built.items():
        seed = node["resource_type"] == "seed"
        kept = ("seed",) if seed else (node["schema"], str(node["config"]["materialized"]))
        caption = _joined(*kept, _counted(checks.get(key, 0), "check"))
        about = str(node.get("description") or "")
        nodes.append(
            Node(
                key,
                node["alias"],
                caption,
                "seed" if seed else "model",
                columns[key],
                " ".join(about.split()),
            )
        )
    nodes += [
        Node(key, each.name, "cannot be built now", "left_out", columns[key], each.why)
        for key, each in left_out.items()
    ]
    nodes += [
        Node(
            key, node.get("label") or node["name"], str(node["type"]), "exposure", columns[key],
            " ".join(str(node.get("description") or "").split()),
        )
        for key, node in exposures.items()
    ]  # fmt: skip
    arrows += [(known[parent], key) for key, of in parents.items() for parent in of if parent in known]
    return Flow(tuple(nodes), tuple(dict.fromkeys(arrows)))


def _landing(streams: Sequence[Stream]) -> tuple[list[Node], list[tuple[str, str]]]:
    nodes, arrows = list[Node](), list[tuple[str, str]]()
    for stream in streams:
        source, buffer, raw = f"source.{stream.name}", f"buffer.{stream.name}", f"raw.{stream.name}"
        about = " ".join(stream.description.split())
        nodes.append(Node(source, stream.source.origin, f"stream {stream.name}", "source", 0, about))
        nodes.append(Node(raw, raw, "append-only, proven", "raw", _LANDED, about))
        if is_collected(stream.source):
            nodes.append(Node(buffer, "spool", "on disk before the answer", "buffer", 1))
            arrows += [(source, buffer), (buffer, raw)]
        else:
            arrows.append((source, raw))
    return nodes, arrows


def _tables(
    sources: Mapping[str, Any], landed: Iterable[Node], *, read: Set[str]
) -> tuple[dict[str, str], list[Node]]:
    """dbt's id of each source that is read → the key of its box; and boxes for those that no stream fills."""
    keys, others = {node.key for node in landed}, list[Node]()
    found = {key: f"{node['schema']}.{node['name']}" for key, node in sources.items() if key in read}
    for key, name in found.items():
        if name not in keys:
            about = " ".join(str(sources[key].get("description") or "").split())
            others.append(Node(name, name, "a table", "raw", _LANDED, about))
    return found, others


def _parents(node: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(node.get("depends_on", {}).get("nodes", ()))


def _columns(parents: Mapping[str, Iterable[str]], raw: Iterable[str]) -> dict[str, int]:
    """Of each model: behind all that it reads. What reads nothing stands before its first reader."""
    columns = dict.fromkeys(raw, _LANDED)

    def column(key: str) -> int:
        if key not in columns:
            before = [column(parent) for parent in parents[key] if parent in parents or parent in columns]
            columns[key] = max(before, default=_LANDED) + 1
        return columns[key]

    for key in parents:
        column(key)
    for key, of in parents.items():
        if not any(parent in columns for parent in of):
            readers = [columns[reader] for reader, read in parents.items() if key in read]
            columns[key] = max(_LANDED, min(readers, default=_LANDED + 1) - 1)
    return columns


def _checks(parsed: ParsedModels) -> dict[str, int]:
    """How many checks each model has: those of its contract, and dbt's data tests."""
    names = {
        node["name"]: key
        for key, node in parsed.manifest["nodes"].items()
        if node["resource_type"] in BUILT_TYPES
    }
    contracts, _ = read_contracts(
        contract_folders(parsed.project.project_dir),
        names.keys(),
        left_out=parsed.broken.names() | parsed.disabled(),
    )
    counts = {names[name]: len(list_checks(contract)) for name, contract in contracts.items()}
    for tested in _tested(parsed.manifest["nodes"].values()):
        counts[tested] = counts.get(tested, 0) + 1
    return counts


def _tested(nodes: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for node in nodes:
        if node["resource_type"] == "test":
            attached = node.get("attached_node")
            yield from [attached] if attached else _parents(node)[:1]


def _counted(number: int, word: str) -> str:
    return "" if not number else f"1 {word}" if number == 1 else f"{number} {word}s"


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)
