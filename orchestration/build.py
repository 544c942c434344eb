"""build_defs(): a fresh Definitions for the UI, the daemon, the warm process and tests.

Loading touches no service: it reads streams.yml and parses the dbt project (kept until it changes).
"""

from collections.abc import Callable, Mapping, Sequence

from dagster import AssetKey, AssetsDefinition, Definitions

from ingestion.declare.file import load_streams
from ingestion.declare.stream import Stream
from ingestion.settings import Settings, load_settings
from orchestration.assets.full_scans import full_scan_checks
from orchestration.assets.models import models_asset
from orchestration.assets.raw import ledger_specs, raw_asset, source_specs
from orchestration.checks.adapter import contract_audit, load_contracts
from orchestration.checks.contracts import Contract
from orchestration.checks.freshness import declared_budgets
from orchestration.checks.ledger import ledger_audit
from orchestration.checks.raw_contracts import batches_contract, rejects_contract
from orchestration.dbt.lineage import Lineage
from orchestration.dbt.project import DBT_PROJECT_DIR, ParsedModels, parse_models
from orchestration.jobs.refresh import audit_job, audit_schedule, refresh_job
from orchestration.jobs.rejects import retry_job
from orchestration.jobs.replay import repairs, replay_job
from orchestration.jobs.upkeep import upkeep_job, upkeep_schedule
from orchestration.keys import OPS_GROUP, raw_key
from orchestration.run.cycles import Cycles
from orchestration.run.plan import refresh_plan
from orchestration.run.resources import lake_session
from orchestration.sensors.arrivals import arrivals_sensor
from orchestration.sensors.failures import failures_sensor

_NO_BUDGET_SECONDS = 60.0


def build_defs(
    *,
    settings: Callable[[], Settings] = load_settings,
    resource_overrides: Mapping[str, object] | None = None,
) -> Definitions:
    """Assemble everything that Dagster knows of Millrace.

    Args:
        settings: Reads the settings; called now for files, and again by runs and sensors for addresses.
        resource_overrides: Resources to put in place of ours.

    Raises:
        ConfigError: streams.yml or a contract is wrong.
        DbtFailed: The dbt project does not parse.
    """
    now = settings()
    streams = load_streams(now.streams_file)
    parsed = parse_models(now, streams)
    lineage = Lineage.of(parsed, [stream.name for stream in streams])
    contracts = load_contracts(DBT_PROJECT_DIR / "contracts", lineage.keys.values())
    built = [*(raw_asset(stream) for stream in streams), build_models(streams, parsed, lineage, contracts)]
    audits = [
        full_scan_checks(parsed),
        ledger_audit(streams),
        contract_audit("hourly_contracts", _hourly(contracts)),
    ]
    audit_keys = [key for audit in audits for key in audit.check_keys]
    refresh, audit = refresh_job(audit_keys), audit_job(audit_keys)
    upkeep = upkeep_job(streams, [key for asset in (*built, *audits) for key in asset.check_keys])
    plan = refresh_plan(lineage, fingerprint=parsed.fingerprint, assets=built)
    repairing = [retry_job(streams), replay_job(streams)]
    return Definitions(
        assets=[*source_specs(streams), *ledger_specs(), *built],
        asset_checks=audits,
        jobs=[refresh, audit, upkeep, *repairing],
        schedules=[audit_schedule(audit), upkeep_schedule(upkeep)],
        sensors=[
            arrivals_sensor(streams, plan, refresh, settings=settings, repairs=repairs(repairing, plan)),
            failures_sensor(settings),
        ],
        resources={"lake_session": lake_session(settings)} | dict(resource_overrides or {}),
    )


def build_models(
    streams: Sequence[Stream],
    parsed: ParsedModels,
    lineage: Lineage,
    contracts: Mapping[AssetKey, Contract],
) -> AssetsDefinition:
    """The models as they belong to these streams.

    Args:
        streams: The declared streams.
        parsed: The project.
        lineage: Its models, and what follows from each stream.
        contracts: Model → its contract; those of the ops models are left to the audit.
    """
    budgets = declared_budgets(parsed, lineage)
    shortest = min((budget.seconds for budget in budgets.values()), default=_NO_BUDGET_SECONDS)
    return models_asset(
        parsed,
        {key: contract for key, contract in contracts.items() if key.path[0] != OPS_GROUP},
        Cycles(streams, lineage.followers, lineage.groups(), budget_seconds=shortest),
        budgets=budgets,
        tables=lineage.tables_of(),
    )


def _hourly(contracts: Mapping[AssetKey, Contract]) -> dict[AssetKey, Contract]:
    """The contracts that read the whole ledger: too slow for every run."""
    return {key: contract for key, contract in contracts.items() if key.path[0] == OPS_GROUP} | {
        raw_key("batches"): batches_contract(),
        raw_key("rejects"): rejects_contract(),
    }
