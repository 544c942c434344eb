"""Which models follow from which stream, as dbt's own graph has it, and which asset a dbt node is.

It selects nothing: what a run builds is in run/plan.py, how models become assets in translator.py.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from dagster import AssetCheckKey, AssetCheckSpec, AssetKey, AssetSpec

from orchestration.dbt import translator
from orchestration.dbt.project import BUILT_TYPES, ParsedModels
from orchestration.dbt.specs import UNIQUE_ID

METRICS = "source.millrace.ops.metrics"
"""dbt's id of the table of the system's own figures."""
_LEDGER = ("batches", "rejects")
_NOT_BUILT = ("view", "seed")


@dataclass(frozen=True)
class NodeKeys:
    """dbt's ids → Dagster's keys.

    Attributes:
        assets: dbt's id of a model, seed or snapshot → its asset.
        checks: dbt's id of a test → its check.
    """

    assets: Mapping[str, AssetKey]
    checks: Mapping[str, AssetCheckKey]

    @staticmethod
    def of(specs: Sequence[AssetSpec], check_specs: Sequence[AssetCheckSpec]) -> "NodeKeys":
        """Read the ids in the metadata of specs."""
        return NodeKeys(
            {spec.metadata[UNIQUE_ID]: spec.key for spec in specs},
            {spec.metadata[UNIQUE_ID]: spec.key for spec in check_specs if spec.metadata},
        )

    def selectors(self, keys: AbstractSet[AssetKey]) -> list[str]:
        """dbt's selectors of some assets; names are unique in a project."""
        return sorted(
            f"fqn:{unique_id.split('.')[-1]}" for unique_id, key in self.assets.items() if key in keys
        )


@dataclass(frozen=True)
class Lineage:
    """The models, and what follows from each stream.

    Attributes:
        keys: dbt's id → asset, of every model, seed and snapshot.
        followers: Stream → the models that follow from it, views included.
        tables: The models that have to be built to show what is new; a view shows it by itself.
        following: Model → the models that follow from it.
    """

    keys: Mapping[str, AssetKey]
    followers: Mapping[str, frozenset[AssetKey]]
    tables: frozenset[AssetKey]
    following: Mapping[AssetKey, frozenset[AssetKey]] = field(default_factory=dict)

    @staticmethod
    def of(parsed: ParsedModels, streams: Iterable[str]) -> "Lineage":
        """Read a parsed project.

        Args:
            parsed: The project; its sources include the streams.
            streams: Names of the declared streams.
        """
        keys = model_keys(parsed)
        nodes, sources = parsed.manifest["nodes"], _raw_sources(parsed)
        # A model that reads the ledger, or the system's own figures, shows something new after every batch.
        ledger = {sources[name] for name in _LEDGER if name in sources} | {METRICS}
        children: Mapping[str, list[str]] = parsed.manifest["child_map"]
        return Lineage(
            keys,
            # Without a project that parses there is no source, and nothing follows from a stream.
            {stream: _descendants(ledger | {sources.get(stream, "")}, children, keys) for stream in streams},
            frozenset(
                key
                for unique_id, key in keys.items()
                if nodes[unique_id]["config"]["materialized"] not in _NOT_BUILT
            ),
            {key: _descendants({unique_id}, children, keys) - {key} for unique_id, key in keys.items()},
        )

    def tables_of(self) -> dict[str, frozenset[AssetKey]]:
        """Stream → the tables among the models that follow from it."""
        return {stream: models & self.tables for stream, models in self.followers.items()}

    def tables_before(self, model: AssetKey) -> dict[str, frozenset[AssetKey]]:
        """Stream that a model follows from → the tables on the way to it, itself among them if it is one."""
        before = {key for key, models in self.following.items() if model in models} | {model}
        return {
            stream: tables & before
            for stream, tables in self.tables_of().items()
            if model in self.followers[stream]
        }

    def groups(self) -> list[frozenset[str]]:
        """The streams, apart where no table follows from both."""
        groups: list[tuple[frozenset[str], frozenset[AssetKey]]] = []
        for stream, tables in self.tables_of().items():
            names, built = frozenset({stream}), tables
            for group in [group for group in groups if group[1] & built]:
                groups.remove(group)
                names, built = names | group[0], built | group[1]
            groups.append((names, built))
        return [names for names, _ in groups]


def model_keys(parsed: ParsedModels) -> dict[str, AssetKey]:
    """dbt's id → asset, of every model, seed and snapshot."""
    return {
        unique_id: translator.asset_key(node)
        for unique_id, node in parsed.manifest["nodes"].items()
        if node["resource_type"] in BUILT_TYPES and node["config"]["materialized"] != "ephemeral"
    }


def _raw_sources(parsed: ParsedModels) -> dict[str, str]:
    """Name of a raw table → dbt's id of the source."""
    return {
        source["name"]: unique_id
        for unique_id, source in parsed.manifest["sources"].items()
        if source["source_name"] == "raw"
    }


def _descendants(
    roots: set[str], children: Mapping[str, list[str]], keys: Mapping[str, AssetKey]
) -> frozenset[AssetKey]:
    seen, waiting = set(roots), list(roots)
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child not in seen:
                seen.add(child)
                waiting.append(child)
    return frozenset(keys[unique_id] for unique_id in seen if unique_id in keys)
