"""Which contracts of the models are due while a run goes on. Running one is adapter.py's."""

import time
from collections.abc import Iterable, Iterator, Mapping

from dagster import AssetCheckResult, AssetKey

from ingestion.lake.lake import Lake
from orchestration.checks.adapter import run_contract
from orchestration.checks.contracts import Contract

_CONTRACT_SECONDS = 15.0


class DueContracts:
    """Which contracts to run: after a run's first build all of them, later each at most every few seconds.

    They read whole tables, so in a run that goes on they would take longer than its cycles.
    """

    def __init__(self, contracts: Mapping[AssetKey, Contract]) -> None:
        self._contracts = contracts
        self._waiting: set[AssetKey] = set()
        self._ran: dict[AssetKey, float] = {}

    def built(self, keys: Iterable[AssetKey]) -> None:
        """Note the models that have new contents."""
        self._waiting |= self._contracts.keys() & set(keys)

    def run(self, lake: Lake, *, all_of_them: bool = False) -> Iterator[AssetCheckResult]:
        """Run those that are due; all_of_them: every one whose model was built since it last ran."""
        for key in sorted(self._waiting):
            if all_of_them or time.monotonic() >= self._ran.get(key, 0.0) + _CONTRACT_SECONDS:
                yield from run_contract(lake, self._contracts[key], key)
                self._waiting.discard(key)
                self._ran[key] = time.monotonic()
