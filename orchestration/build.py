"""build_defs(): a fresh Definitions for the UI, the daemon, the warm process and tests.

Loading touches no service: it reads streams.yml and parses the dbt project (kept until it changes).
"""

from collections.abc import Callable, Mapping, Sequence

from dagster import AssetKey, AssetsDefinition, Definitions

from ingestion.declare.file import load_streams
from ingestion.declare.stream import Stream
from ingestion.settings import Settings, load_settings
from orchestration.assets.full_scans import full_scan_checks
from orchestration.assets.models import load_contracts, model_keys, models_asset
from orchestration.assets.raw import ledger_specs, raw_asset, source_specs
from orchestration.checks.adapter import contract_audit
from orchestration.checks.freshness import Budget
from orchestration.checks.ledger import ledger_audit
from orchestration.checks.raw_contracts import batches_contract, rejects_contract
from orchestration.dbt.project import DBT_PROJECT_DIR, ParsedModels, freshness_seconds, parse_models
from orchestration.jobs.refresh import audit_job, audit_schedule, refresh_job
from orchestration.jobs.rejects import retry_job
from orchestration.jobs.replay import repairs, replay_job
from orchestration.jobs.upkeep import upkeep_job, upkeep_schedule
from orchestration.keys import raw_key
from orchestration.run.cycles import Cycles
from orchestration.run.resources import lake_session
from orchestration.sensors.arrivals import RefreshPlan, arrivals_sensor
from orchestration.sensors.failures import failures_sensor

_NO_BUDGET_SECONDS = 60.0
_OPS = "ops"


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
    keys = model_keys(parsed)
    contracts = load_contracts(DBT_PROJECT_DIR / "contracts", keys.values())
    # Views over the whole ledger: too dear for every run.
    hourly = {key: contract for key, contract in contracts.items() if key.path[0] == _OPS}
    followers = _followers(streams, parsed, keys)
    budgets = _budgets(parsed, keys, followers)
    shortest = min((budget.seconds for budget in budgets.values()), default=_NO_BUDGET_SECONDS)
    tables = _tables(parsed, keys)
    models = models_asset(
        parsed,
        {key: contracts[key] for key in contracts.keys() - hourly.keys()},
        Cycles(streams, followers, groups_of(followers, tables), budget_seconds=shortest),
        budgets=budgets,
        tables={stream: models & tables for stream, models in followers.items()},
    )
    hourly |= {raw_key("batches"): batches_contract(), raw_key("rejects"): rejects_contract()}
    audits = [
        full_scan_checks(parsed),
        ledger_audit(streams),
        contract_audit("hourly_contracts", hourly),
    ]
    audit_keys = [key for audit in audits for key in audit.check_keys]
    made = [*(raw_asset(stream) for stream in streams), models]
    refresh, audit = refresh_job(audit_keys), audit_job(audit_keys)
    upkeep = upkeep_job(streams, [key for asset in (*made, *audits) for key in asset.check_keys])
    plan, repairing = refresh_plan(streams, parsed, made), [retry_job(streams), replay_job(streams)]
    return Definitions(
        assets=[*source_specs(streams), *ledger_specs(), *made],
        asset_checks=audits,
        jobs=[refresh, audit, upkeep, *repairing],
        schedules=[audit_schedule(audit), upkeep_schedule(upkeep)],
        sensors=[
            arrivals_sensor(streams, plan, refresh, settings=settings, repairs=repairs(repairing, plan)),
            failures_sensor(settings),
        ],
        resources={"lake_session": lake_session(settings)} | dict(resource_overrides or {}),
    )


def refresh_plan(
    streams: Sequence[Stream], parsed: ParsedModels, assets: Sequence[AssetsDefinition] = ()
) -> RefreshPlan:
    """What a run for new events builds.

    Args:
        streams: The declared streams.
        parsed: The dbt project.
        assets: Those whose checks belong to a run.
    """
    keys = model_keys(parsed)
    followers = _followers(streams, parsed, keys)
    tables = _tables(parsed, keys)
    # They show what is new by themselves: built with the others when a model's text has changed.
    views = {key for key in keys.values() if key.path[0] == _OPS} - tables
    return RefreshPlan(
        checks={
            key: frozenset(check for check in asset.check_keys if check.asset_key == key)
            for asset in assets
            for key in asset.keys
        },
        downstream={stream: models - views | {raw_key(stream)} for stream, models in followers.items()},
        models=frozenset(keys.values()),
        fingerprint=parsed.fingerprint,
        tables={stream: models & tables for stream, models in followers.items()},
    )


def _tables(parsed: ParsedModels, keys: Mapping[str, AssetKey]) -> frozenset[AssetKey]:
    """What has to be built to show what is new; a view shows it by itself."""
    nodes = parsed.manifest["nodes"]
    return frozenset(
        key for name, key in keys.items() if nodes[name]["config"]["materialized"] not in ("view", "seed")
    )


def groups_of(
    followers: Mapping[str, frozenset[AssetKey]], tables: frozenset[AssetKey]
) -> list[frozenset[str]]:
    """The streams, apart where no table follows from both."""
    groups: list[tuple[frozenset[str], frozenset[AssetKey]]] = []
    for stream, models in followers.items():
        names, built = frozenset({stream}), models & tables
        for group in [group for group in groups if group[1] & built]:
            groups.remove(group)
            names, built = names | group[0], built | group[1]
        groups.append((names, built))
    return [names for names, _ in groups]


def _budgets(
    parsed: ParsedModels, keys: Mapping[str, AssetKey], followers: Mapping[str, frozenset[AssetKey]]
) -> dict[AssetKey, Budget]:
    return {
        key: Budget(seconds, frozenset(stream for stream, models in followers.items() if key in models))
        for key, seconds in ((keys[name], seconds) for name, seconds in freshness_seconds(parsed).items())
    }


def _followers(
    streams: Sequence[Stream], parsed: ParsedModels, keys: Mapping[str, AssetKey]
) -> dict[str, frozenset[AssetKey]]:
    """Which models follow from which stream, read from dbt's own graph."""
    children: Mapping[str, list[str]] = parsed.manifest["child_map"]
    sources = {
        source["name"]: unique_id
        for unique_id, source in parsed.manifest["sources"].items()
        if source["source_name"] == "raw"
    }
    ledger = {sources[name] for name in ("batches", "rejects") if name in sources}
    return {stream.name: _descendants(ledger | {sources[stream.name]}, children, keys) for stream in streams}


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
