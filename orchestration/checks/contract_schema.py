"""The JSON Schema of contracts, for editors: Soda's own, less the checks that Millrace does not run."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ingestion.errors import ConfigError
from orchestration.checks.contracts import CHECK_TYPES

_FILES = "contracts/soda_data_contract_json_schema_*.json"


def contract_schema() -> dict[str, Any]:
    """The schema of a contract file.

    Raises:
        ConfigError: Soda is not installed whole.
    """
    # The library itself is not imported: it takes a second, and only its file is wanted.
    found = find_spec("soda_core")
    places = found.submodule_search_locations if found is not None else None
    files = [file for place in places or () for file in sorted(Path(place).glob(_FILES))]
    if not files:
        raise ConfigError("the package soda-core has no schema of contracts: install the locked requirements")
    schema: dict[str, Any] = json.loads(files[-1].read_text(encoding="utf-8"))
    column = schema["properties"]["columns"]["items"]["allOf"][0]["properties"]
    for checks in (schema["properties"]["checks"], column["checks"]):
        checks["items"]["anyOf"] = [
            check for check in checks["items"]["anyOf"] if set(check["properties"]) <= CHECK_TYPES
        ]
    schema["properties"]["dataset"] |= {
        "pattern": "^[^/]+/[^/]+/[^/]+$",
        "description": "The lake, the schema and the table, as in lake/marts/orders.",
    }
    schema["required"] = sorted({*schema.get("required", ()), "dataset", "columns"})
    return schema
