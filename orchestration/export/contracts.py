"""Contract files (ODCS) of a project: one a stream, one a mart, from what is declared. Nothing has to run.

How a contract is written down is in odcs.py. What is checked is decided elsewhere: this only reads it.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from ingestion.declare.stream import Stream
from ingestion.durable import make_folder, replace_file
from ingestion.errors import ConfigError, StorageError
from orchestration.checks.contracts import Contract, read_contracts
from orchestration.checks.raw_contracts import raw_contract
from orchestration.dbt.columns import EVENT_COLUMNS, STAGING_COLUMNS
from orchestration.dbt.project import ParsedModels, contract_folders, freshness_seconds
from orchestration.dbt.reached import OWN_PACKAGE, row_keys
from orchestration.export.odcs import Column, Document, Table, document, text

_MARTS = "marts"
_STAGING_TYPES = {
    "batch_id": "bigint", "source_partition": "varchar", "position": "bigint", "event_id": "varchar",
    "event_key": "varchar", "event_at": "timestamptz", "clock_ahead_seconds": "double",
    "ingested_at": "timestamptz", "payload_hash": "bigint", "cast_errors": "varchar[]",
}  # fmt: skip
_LOCAL_TYPES = {"timestamp": "timestamptz"}
"""What staging makes of a declared type, where that is another one: times are UTC there."""


def stream_contract(stream: Stream, parsed: ParsedModels, *, project: str) -> Document:
    """The contract of a stream: its raw table, and its staging model where it has fields."""
    raw = raw_contract(stream)
    tables = [
        Table(
            "raw", stream.name, "table", "Every event as it came, proven against its log.",
            [Column(name, kind, EVENT_COLUMNS.get(name, "")) for name, kind in _types(raw)],
            ("event_id",), raw,
        )
    ]  # fmt: skip
    staged = parsed.tables().get(("staging", f"stg_{stream.name}"))
    if staged is not None and stream.fields:
        node = parsed.manifest["nodes"][staged]
        tables.append(
            Table(
                "staging", f"stg_{stream.name}", "table", node["description"],
                list(_staged(stream, node)), stream.identity, None,
            )
        )  # fmt: skip
    purpose = stream.description or f"Events of {stream.source.origin}."
    return document(
        stream.name, tables, project=project, purpose=purpose,
        usage=f"Read from {stream.source.origin}.", owners=stream.owners, tags=stream.tags,
    )  # fmt: skip


def mart_contracts(parsed: ParsedModels, *, project: str) -> tuple[list[Document], tuple[str, ...]]:
    """The contracts of the project's marts, by name, and a sentence for each of Soda's that is wrong."""
    nodes = {
        unique_id: node
        for unique_id, node in parsed.manifest["nodes"].items()
        if node["resource_type"] == "model"
        and node["schema"] == _MARTS
        and node["package_name"] != OWN_PACKAGE
        and node["config"]["materialized"] != "ephemeral"
    }
    contracts, problems = read_contracts(
        contract_folders(parsed.project.project_dir),
        frozenset(node["name"] for node in nodes.values()),
        left_out=parsed.broken.names() | parsed.disabled() | {name for _, name in parsed.tables()},
    )
    made = list[Document]()
    budgets, keys = freshness_seconds(parsed), row_keys(parsed.manifest)
    for unique_id, node in sorted(nodes.items(), key=lambda item: str(item[1]["name"])):
        contract = contracts.get(node["name"])
        table = Table(
            node["schema"], node["alias"], "view" if node["config"]["materialized"] == "view" else "table",
            node["description"], list(_columns(node, contract)), keys.get(unique_id, ()), contract,
            budgets.get(unique_id),
        )  # fmt: skip
        owner = node["config"].get("meta", {}).get("owner") or ()
        purpose = node["description"] or f"The mart {node['name']}."
        made.append(
            document(
                node["name"], [table], project=project, purpose=purpose,
                owners=[owner] if isinstance(owner, str) else [*map(str, owner)], tags=node.get("tags", ()),
            )
        )  # fmt: skip
    return made, problems


def write_contracts(
    folder: Path, streams: Sequence[Stream], parsed: ParsedModels, *, project: str, replace: bool
) -> tuple[list[Path], tuple[str, ...]]:
    """Write a file each; others in the folder stay.

    Args:
        folder: Made where it is missing.
        streams: The declared ones.
        parsed: The project's models.
        project: Its name.
        replace: Whether files that are there may be replaced.

    Returns:
        The files, by name, and what is wrong with contracts of Soda, a sentence each.

    Raises:
        ConfigError: One of the files is there, and none may be replaced.
        StorageError: The folder cannot be written.
    """
    made = [("stream", stream_contract(stream, parsed, project=project)) for stream in streams]
    marts, problems = mart_contracts(parsed, project=project)
    made += [("mart", each) for each in marts]
    files = {folder / f"{kind}.{each['name']}.odcs.yaml": text(each) for kind, each in made}
    there = [path for path in sorted(files) if path.exists()]
    if there and not replace:
        raise ConfigError(f"{there[0]} is there already: --force replaces it and the other contracts")
    try:
        make_folder(folder)
        for path, content in files.items():
            replace_file(path, content.encode())
    except OSError as error:
        raise StorageError(f"{folder} cannot be written: {error.strerror or error}") from None
    return sorted(files), problems


def _types(contract: Contract) -> Iterator[tuple[str, str]]:
    for column in yaml.safe_load(contract.text)["columns"]:
        yield str(column["name"]), str(column.get("data_type") or "")


def _columns(node: dict[str, Any], contract: Contract | None) -> Iterator[Column]:
    """The columns that dbt's YAML declares, then those that only the contract does."""
    promised = dict(_types(contract)) if contract else {}
    for name, column in node["columns"].items():
        kind = column.get("data_type") or promised.get(name, "")
        yield Column(name, kind, column.get("description", ""))
    yield from (Column(name, kind) for name, kind in promised.items() if name not in node["columns"])


def _staged(stream: Stream, node: dict[str, Any]) -> Iterator[Column]:
    described = node["columns"]

    def said(name: str, otherwise: str) -> str:
        return (described.get(name) or {}).get("description") or otherwise

    for name, description in STAGING_COLUMNS.items():
        if name != "payload_hash" or stream.business_id:
            yield Column(name, _STAGING_TYPES[name], said(name, description))
    for name, part in stream.parts.items():
        yield Column(name, _LOCAL_TYPES.get(part.type, part.type), said(name, ""))
    for name, field in stream.fields.items():
        kind = _LOCAL_TYPES.get(field.type, field.type)
        yield Column(name, kind, said(name, field.description), field.path)
