"""Which models hold alerts, as `meta: {rule_alerts: …}` declares it. What a rule is: docs/rules.md."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class AlertTable:
    """A model whose rows are alerts.

    Attributes:
        unique_id: dbt's id of it.
        name: Its name.
        schema: Of its table or view.
        table: Its table or view.
        key: The column that says what breaks the rule.
        severities: Those that are conditions.
    """

    unique_id: str
    name: str
    schema: str
    table: str
    key: str
    severities: tuple[str, ...]


def alert_tables(manifest: Mapping[str, Any]) -> Iterator[AlertTable]:
    """The models of a parsed project that hold alerts.

    Args:
        manifest: dbt's, as JSON.
    """
    for unique_id, node in manifest["nodes"].items():
        declared = node["config"].get("meta", {}).get("rule_alerts")
        if node["resource_type"] != "model" or not isinstance(declared, Mapping):
            continue
        severities = _listed(declared.get("conditions"))
        key = str(declared.get("key", "key"))
        yield AlertTable(unique_id, node["name"], node["schema"], node["alias"], key, severities)


def _listed(severities: Any) -> tuple[str, ...]:
    names = [severities] if isinstance(severities, str) else severities or ()
    return tuple(str(name) for name in names)
