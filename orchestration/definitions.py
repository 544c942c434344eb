"""The code location that Dagster loads. How it is put together is in build.py."""

from contextlib import suppress

from ingestion.settings import load_settings
from orchestration.build import build_defs
from orchestration.dbt import project, runner
from orchestration.dbt.results import DbtFailed
from orchestration.run import readiness

defs = build_defs()


def warm_up() -> None:
    """Load what every run would load; called by the process that runs are forked from."""
    with suppress(DbtFailed):  # no model can be built: runs only land
        runner.warm_up(project.dbt_project(load_settings()))


def make_ready() -> None:
    """Open what a run opens first; called by a process that waits for its run."""
    readiness.make_ready(load_settings())
