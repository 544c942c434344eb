"""Which models programs may read as marts: those in the schema `marts` without `meta: {serve: false}`."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from dagster import AssetKey

from ingestion.serve.shelf import Mart
from orchestration.dbt.lineage import Lineage
from orchestration.dbt.project import ParsedModels
from orchestration.dbt.reached import OWN_PACKAGE, row_keys

MARTS_SCHEMA = "marts"


@dataclass(frozen=True)
class Served:
    """A mart that is served.

    Attributes:
        mart: The mart.
        needs: Stream → the tables that have to be built for the mart to show what is new.
    """

    mart: Mart
    needs: Mapping[str, frozenset[AssetKey]]


def served_models(parsed: ParsedModels, lineage: Lineage) -> list[Served]:
    """The marts of a project, by name.

    Args:
        parsed: The project, parsed for production.
        lineage: What follows from each stream.
    """
    found, keys = [], row_keys(parsed.manifest)
    for unique_id, node in parsed.manifest["nodes"].items():
        if node["resource_type"] != "model" or node["schema"] != MARTS_SCHEMA:
            continue
        if (
            node["config"]["materialized"] == "ephemeral"
            or node["config"].get("meta", {}).get("serve") is False
        ):
            continue
        needs = lineage.tables_before(lineage.keys[unique_id])
        mart = Mart(
            node["name"],
            node["schema"],
            node["alias"],
            tuple(sorted(needs)),
            keys.get(unique_id, ()),
            published=node["package_name"] != OWN_PACKAGE,
            description=node["description"],
            columns=tuple((name, column["description"]) for name, column in node["columns"].items()),
        )
        found.append(Served(mart, needs))
    return sorted(found, key=lambda each: each.mart.name)


def shown_by(
    served: list[Served], built: AbstractSet[AssetKey], released: Mapping[str, int]
) -> dict[str, dict[str, int]]:
    """Mart → stream → its newest batch of which all is in the mart now.

    Args:
        served: The marts.
        built: What has just been built.
        released: Stream → its newest batch when the build began.
    """
    shown = {
        each.mart.name: {
            stream: released[stream]
            for stream, tables in each.needs.items()
            if stream in released and tables <= built
        }
        for each in served
    }
    return {mart: batches for mart, batches in shown.items() if batches}
