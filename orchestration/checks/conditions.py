"""The conditions of the system in the web UI: one asset that nothing makes, with a check for each kind.

A running system reports the checks by itself (observe/ui.py); run by hand, they read the journal.
"""

from collections.abc import Callable, Iterator

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSpec,
    AssetKey,
    AssetSpec,
    multi_asset_check,
)

from ingestion.settings import Settings
from orchestration.conditions.journal import open_conditions
from orchestration.conditions.kinds import CONDITIONS_ASSET, KINDS, as_metadata

CONDITIONS_KEY = AssetKey.from_user_string(CONDITIONS_ASSET)


def conditions_spec() -> AssetSpec:
    """The asset."""
    return AssetSpec(
        CONDITIONS_KEY,
        group_name=CONDITIONS_KEY.path[0],
        description="What does not work now: a check fails while a condition of its kind is open. "
        "'millrace status' shows the same list.",
    )


def conditions_checks(settings: Callable[[], Settings]) -> AssetChecksDefinition:
    """The checks; settings are read when they are run by hand."""
    specs = [
        AssetCheckSpec(kind.name, asset=CONDITIONS_KEY, description=f"Open while {kind.title}.")
        for kind in KINDS.values()
    ]

    @multi_asset_check(name="conditions", specs=specs, can_subset=True)
    def conditions(context: AssetCheckExecutionContext) -> Iterator[AssetCheckResult]:
        found = open_conditions(settings().data_dir)
        for key in context.selected_asset_check_keys:
            sentences = {each.finding.subject: each.text for each in found if each.finding.name == key.name}
            yield AssetCheckResult(
                asset_key=CONDITIONS_KEY,
                check_name=key.name,
                passed=not sentences,
                metadata=as_metadata(key.name, sentences),
            )

    return conditions
