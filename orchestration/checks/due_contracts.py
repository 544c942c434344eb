"""Which contracts of the models are due while a run goes on. Running one is adapter.py's."""

from collections.abc import Iterable, Iterator, Mapping

from dagster import AssetCheckResult, AssetKey

from ingestion.lake.lake import Lake
from orchestration.checks.adapter import run_contract
from orchestration.checks.contracts import Contract
from orchestration.checks.in_turn import InTurn


class DueContracts:
    """Runs the contracts of what was built, each in its turn.

    Args:
        contracts: Model → its contract.
    """

    def __init__(self, contracts: Mapping[AssetKey, Contract]) -> None:
        self._contracts = contracts
        self._turns = InTurn(contracts)

    def built(self, keys: Iterable[AssetKey]) -> None:
        """Note the models that have new contents."""
        self._turns.built(keys)

    def run(self, lake: Lake, *, all_of_them: bool = False) -> Iterator[AssetCheckResult]:
        """Run those that are due; all_of_them: every one whose model was built since it last ran."""
        for key in self._turns.take(all_of_them=all_of_them):
            yield from run_contract(lake, self._contracts[key], key)
