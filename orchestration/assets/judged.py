"""What a run has built and how its checks judged it → the instants that serving waits for.

How instants are kept: ingestion/serve/instants.py. A failed test or contract holds back the streams that its
model belongs to, until the model is built and passes.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet

from dagster import AssetCheckResult, AssetKey

from ingestion.errors import CatalogUnavailable
from ingestion.land.session import LakeSession
from ingestion.serve.instants import NO_STREAM, Builder
from ingestion.serve.shelf import shown_batches
from orchestration.dbt.lineage import Lineage
from orchestration.keys import OPS_GROUP
from orchestration.run.breaks import breaks

_log = logging.getLogger(__name__)


class JudgedBuilds:
    """Of one run.

    Args:
        session: The run's lake.
        lineage: What follows from what.
    """

    def __init__(self, session: LakeSession, lineage: Lineage) -> None:
        self._session, self._lineage = session, lineage
        self._builder = Builder(session.settings, instant_groups(lineage))
        self._begun: AbstractSet[AssetKey] = frozenset()
        self._good = set[AssetKey]()
        self._refused = set[AssetKey]()

    def begin(self, keys: AbstractSet[AssetKey]) -> None:
        """Note what dbt is going to build.

        Args:
            keys: Its assets.

        Raises:
            CatalogUnavailable: The catalog does not answer.
        """
        following = (self._lineage.following.get(key, frozenset()) for key in keys)
        behind = frozenset(keys).union(*following)
        self._begun = keys
        self._good -= behind
        self._builder.begin(_names(behind & self._lineage.tables))

    def contracts(self, results: Iterable[AssetCheckResult]) -> Iterator[AssetCheckResult]:
        """Pass on the results of contracts, and note which models they refuse."""
        passed, refused = set[AssetKey](), set[AssetKey]()
        for result in results:
            if result.asset_key is not None:
                (refused if breaks(result) else passed).add(result.asset_key)
            yield result
        self._refused = (self._refused - passed) | refused

    def end(
        self, built: AbstractSet[AssetKey] = frozenset(), *, failed: AbstractSet[AssetKey] = frozenset()
    ) -> None:
        """Note what was built, and the instant if nothing is missing; without the catalog the next end does.

        Args:
            built: The models that were.
            failed: Those that failed, or whose tests did.
        """
        # Views show what is new without being built; unless dbt did nothing at all.
        views = self._begun - self._lineage.tables if built else frozenset[AssetKey]()
        self._begun = frozenset()
        self._good = (self._good | built | views) - failed
        try:
            self._builder.end(
                _names(self._good - self._refused),
                failed=_names((failed | self._refused) & self._lineage.following.keys()),
                snapshot=self._session.lake.snapshot_id,
                shown=shown_batches(self._session.settings.data_dir),
            )
        except CatalogUnavailable as error:
            _log.warning("Serving waits for the next build: %s", error)

    def close(self) -> None:
        """Close its connection."""
        self._builder.close()


def instant_groups(lineage: Lineage) -> Mapping[tuple[str, ...], frozenset[str]]:
    """Streams that belong together → the models that follow from them; the product's own hold back nobody."""
    groups = {
        tuple(sorted(group)): frozenset().union(*(lineage.followers[stream] for stream in group))
        for group in lineage.groups()
    }
    groups[(NO_STREAM,)] = frozenset(lineage.keys.values()).difference(*lineage.followers.values())
    return {
        streams: frozenset(_names(key for key in keys if key.path[0] != OPS_GROUP))
        for streams, keys in groups.items()
    }


def _names(keys: Iterable[AssetKey]) -> list[str]:
    return [key.path[-1] for key in keys]
