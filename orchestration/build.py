"""build_defs(): a fresh Definitions for the UI, the daemon, the warm process and tests.

Loading touches no service: it reads streams.yml and parses the dbt project (kept until it changes).
Landing is defined by streams.yml alone: what is wrong with models costs only models.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dagster import AssetChecksDefinition, AssetKey, AssetsDefinition, Definitions, SensorDefinition

from ingestion.declare.file import declared_streams
from ingestion.declare.stream import Stream
from ingestion.errors import StorageError
from ingestion.serve.shelf import write_served
from ingestion.settings import Settings, load_settings
from orchestration.assets.exposures import exposure_specs
from orchestration.assets.full_scans import full_scan_checks
from orchestration.assets.left_out import left_out_keys, left_out_specs
from orchestration.assets.models import models_asset
from orchestration.assets.raw import ledger_specs, raw_asset, source_specs
from orchestration.assets.rule_alerts import alert_models
from orchestration.checks.adapter import contract_audit
from orchestration.checks.anomalies import anomaly_checks
from orchestration.checks.conditions import conditions_checks, conditions_spec
from orchestration.checks.contracts import Contract, read_contracts
from orchestration.checks.freshness import declared_budgets
from orchestration.checks.ledger import ledger_audit
from orchestration.checks.raw_contracts import batches_contract, rejects_contract
from orchestration.checks.staged import staged_streams
from orchestration.conditions.reports import report, report_checks
from orchestration.conditions.rule_alerts import forget_rule_alerts
from orchestration.dbt.broken import project_findings
from orchestration.dbt.lineage import Lineage
from orchestration.dbt.project import ParsedModels, contract_folders, parse_models, without_models
from orchestration.dbt.runner import RunDbt, invoke
from orchestration.dbt.served import served_models
from orchestration.fingerprint import of_project
from orchestration.jobs.refresh import Job, audit_job, audit_schedule, refresh_job
from orchestration.jobs.rejects import retry_job
from orchestration.jobs.replay import repairs, replay_job
from orchestration.jobs.report import report_job, report_schedules
from orchestration.jobs.upkeep import upkeep_job, upkeep_schedule
from orchestration.keys import (
    AUDIT_JOB,
    OPS_GROUP,
    REFRESH_JOB,
    REPLAY_JOB,
    REPORT_JOB,
    RETRY_JOB,
    UPKEEP_JOB,
    raw_key,
)
from orchestration.overrides import Asset, by_key, by_name, require_known
from orchestration.run.cycles import Cycles
from orchestration.run.plan import refresh_plan
from orchestration.run.resources import lake_session
from orchestration.sensors.arrivals import arrivals_sensor
from orchestration.sensors.failures import failures_sensor

_NO_BUDGET_SECONDS = 60.0


@dataclass(frozen=True)
class Project:
    """What a user has declared, read and parsed.

    Attributes:
        streams: The declared streams.
        parsed: The dbt project.
        lineage: Its models, and what follows from each stream.
        contracts: Model → its contract.
        problems: What is wrong with it, a sentence each.
    """

    streams: Sequence[Stream]
    parsed: ParsedModels
    lineage: Lineage
    contracts: Mapping[AssetKey, Contract]
    problems: tuple[str, ...] = ()


def build_defs(
    *,
    settings: Callable[[], Settings] = load_settings,
    dbt_folder: Path | None = None,
    asset_overrides: Mapping[AssetKey, Asset] | None = None,
    check_overrides: Mapping[str, AssetChecksDefinition] | None = None,
    job_overrides: Mapping[str, Job] | None = None,
    sensor_overrides: Mapping[str, SensorDefinition] | None = None,
    resource_overrides: Mapping[str, object] | None = None,
) -> Definitions:
    """Assemble everything that Dagster knows of Millrace.

    References follow: the schedule of an overridden job starts the overriding one.

    Args:
        settings: Reads the settings; called now for files, and again by runs and sensors for addresses.
        dbt_folder: The folder of the dbt project; the settings' by default.
        asset_overrides: Asset key → what defines it instead.
        check_overrides: Name of an op of checks → the checks instead.
        job_overrides: Name → the job instead.
        sensor_overrides: Name → the sensor instead.
        resource_overrides: Name → the resource instead.

    Raises:
        ConfigError: streams.yml is wrong.
        ValueError: An override replaces nothing, or has another key or name than what it replaces.
    """
    code = of_project(settings())
    project, models = _with_models(read_project(settings(), dbt_folder=dbt_folder))
    assets = by_key([*_landing(project.streams), *models, conditions_spec()], asset_overrides)
    audits = by_name("op of checks", _audits(project), check_overrides, name=lambda each: each.node_def.name)
    built = [asset for asset in assets if isinstance(asset, AssetsDefinition)]
    jobs = by_name(
        "job", _jobs(project, built, [*audits.values()], settings), job_overrides, name=lambda each: each.name
    )
    reports, problems = report_schedules(jobs[REPORT_JOB], settings().report_schedule)
    plan = refresh_plan(
        project.lineage,
        fingerprint=project.parsed.fingerprint,
        text=project.parsed.text,
        code=code,
        left_out=left_out_keys(project.parsed.broken).values(),
        assets=built,
    )
    repairing = repairs([jobs[RETRY_JOB], jobs[REPLAY_JOB]], plan)
    sensors = [
        arrivals_sensor(project.streams, plan, jobs[REFRESH_JOB], settings=settings, repairs=repairing),
        failures_sensor(settings),
    ]
    resources: dict[str, object] = {"lake_session": lake_session(settings)}
    require_known("resource", resource_overrides or {}, resources)
    checks = [*(key for asset in built for key in asset.check_keys)]
    checks += [key for audit in audits.values() for key in audit.check_keys]
    with suppress(StorageError):  # what has to write there reports a full disk
        report(settings().data_dir, project_findings([*project.problems, *problems]), by="definitions")
        write_served(
            settings().data_dir, (each.mart for each in served_models(project.parsed, project.lineage))
        )
        if not project.parsed.broken.problems:  # what is left out now may have open alerts
            alerts = alert_models(project.parsed, project.lineage)
            forget_rule_alerts(settings().data_dir, keep=(each.name for each in alerts if each.severities))
        report_checks(settings().data_dir, [(key.asset_key.to_user_string(), key.name) for key in checks])
    return Definitions(
        assets=assets,
        asset_checks=[*audits.values(), conditions_checks(settings)],
        jobs=[*jobs.values()],
        schedules=[audit_schedule(jobs[AUDIT_JOB]), upkeep_schedule(jobs[UPKEEP_JOB]), *reports],
        sensors=[*by_name("sensor", sensors, sensor_overrides, name=lambda each: each.name).values()],
        resources=resources | dict(resource_overrides or {}),
    )


def read_project(settings: Settings, *, dbt_folder: Path | None = None) -> Project:
    """Read streams.yml, the dbt project and the contracts.

    Args:
        settings: Where streams.yml and the data folder are.
        dbt_folder: The folder of the dbt project; the settings' by default.

    Raises:
        ConfigError: streams.yml is wrong.
    """
    streams = declared_streams(settings)
    return _project(streams, parse_models(settings, streams, folder=dbt_folder))


def _project(streams: Sequence[Stream], parsed: ParsedModels) -> Project:
    lineage = Lineage.of(parsed, [stream.name for stream in streams])
    keys = {key.path[-1]: key for key in lineage.keys.values()}
    # Contracts wait for their models: while none can be built, which ones there are is unknown.
    folders = () if parsed.broken.everything else contract_folders(parsed.project.project_dir)
    contracts, problems = read_contracts(
        folders, keys.keys(), left_out=parsed.broken.names() | parsed.disabled()
    )
    return Project(
        streams,
        parsed,
        lineage,
        {keys[name]: contract for name, contract in contracts.items()},
        (*parsed.broken.problems, *problems),
    )


def build_models(project: Project, *, run_dbt: RunDbt = invoke) -> AssetsDefinition:
    """The models of a project.

    Args:
        project: What is declared.
        run_dbt: Runs a dbt command on the project.
    """
    lineage = project.lineage
    budgets = declared_budgets(project.parsed, lineage)
    shortest = min((budget.seconds for budget in budgets.values()), default=_NO_BUDGET_SECONDS)
    return models_asset(
        project.parsed,
        {key: contract for key, contract in project.contracts.items() if key.path[0] != OPS_GROUP},
        Cycles(project.streams, lineage.followers, lineage.groups(), budget_seconds=shortest),
        budgets=budgets,
        lineage=lineage,
        served=served_models(project.parsed, lineage),
        run_dbt=run_dbt,
    )


def _with_models(project: Project) -> tuple[Project, list[Asset]]:
    """The project and its models as assets; what dbt accepts and Dagster does not costs only the models."""
    try:
        return project, _models(project)
    except Exception as error:
        project = _project(project.streams, without_models(project.parsed.project, error))
        return project, _models(project)


def _models(project: Project) -> list[Asset]:
    built = [build_models(project)] if project.lineage.keys else []
    return [
        *built,
        *left_out_specs(project.parsed.broken, project.lineage.keys),
        *exposure_specs(project.parsed, project.lineage.keys),
    ]


def _landing(streams: Sequence[Stream]) -> list[Asset]:
    return [*source_specs(streams), *ledger_specs(), *(raw_asset(stream) for stream in streams)]


def _audits(project: Project) -> list[AssetChecksDefinition]:
    """What reads whole tables, hourly: too slow for every run."""
    hourly = {key: contract for key, contract in project.contracts.items() if key.path[0] == OPS_GROUP}
    hourly |= {raw_key("batches"): batches_contract(), raw_key("rejects"): rejects_contract()}
    scans = [full_scan_checks(project.parsed)] if project.lineage.keys else []
    return [
        *scans,
        ledger_audit(project.streams),
        contract_audit("hourly_contracts", hourly),
        anomaly_checks(project.streams, staged_streams(project.streams, project.lineage.keys.values())),
    ]


def _jobs(
    project: Project,
    assets: Sequence[AssetsDefinition],
    audits: Sequence[AssetChecksDefinition],
    settings: Callable[[], Settings],
) -> list[Job]:
    audited = [key for audit in audits for key in audit.check_keys]
    return [
        refresh_job(audited),
        audit_job(audited),
        upkeep_job(project.streams, [*(key for asset in assets for key in asset.check_keys), *audited]),
        retry_job(project.streams),
        replay_job(project.streams),
        report_job(project.streams, settings),
    ]
