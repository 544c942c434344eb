"""The code location that Dagster loads. How it is put together is in build.py."""

from ingestion.settings import load_settings
from orchestration import dbt_models, dbt_runner, readiness
from orchestration.build import build_defs

defs = build_defs()


def warm_up() -> None:
    """What runs would load one by one; called by the process that they are forks of."""
    dbt_runner.warm_up(dbt_models.dbt_project(load_settings()))


def make_ready() -> None:
    """What a run would open first; called by a process that waits for its run."""
    readiness.make_ready(load_settings())
