"""What a staging model's file describes, compared with the fields that streams.yml declares.

Nobody has to describe a column. One that is described and not made is a leftover, or a misspelt name.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ingestion.declare.stream import Stream, suggest
from orchestration.dbt.columns import STAGING_COLUMNS

_GENERATED = ("{{staging(", "{{millrace.staging(")


def described_but_not_made(manifest: Mapping[str, Any], streams: Sequence[Stream]) -> Iterator[str]:
    """A sentence for each column that a staging model's file describes and its stream does not declare.

    Args:
        manifest: dbt's, as JSON.
        streams: The declared streams.
    """
    declared = {f"stg_{stream.name}": stream for stream in streams}
    for node in manifest["nodes"].values():
        stream = declared.get(node["name"]) if node["resource_type"] == "model" else None
        if stream is None or not "".join(node["raw_code"].split()).startswith(_GENERATED):
            continue  # a model that selects by itself may make any column
        made = {*STAGING_COLUMNS, *stream.parts, *stream.fields}
        for column in node["columns"]:
            if column not in made:
                yield (
                    f"the file of {node['name']} describes the column '{column}', which streams.yml does not "
                    f"declare for '{stream.name}'{suggest(column, stream.fields)}"
                )
