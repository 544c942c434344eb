"""The code location that Dagster loads. How it is put together is in build.py."""

from contextlib import suppress

from orchestration.garbage import uncollected

with uncollected():
    from ingestion.errors import ConfigError
    from ingestion.settings import load_settings
    from orchestration.build import build_defs
    from orchestration.conditions.reports import report_load
    from orchestration.dbt import project, runner
    from orchestration.dbt.results import DbtFailed
    from orchestration.run import readiness

    try:
        defs = build_defs()
        report_load("")
    except ConfigError:  # of streams.yml or .env: whoever starts the system says so
        raise
    except Exception as error:
        report_load(f"{type(error).__name__}: {error}")
        raise


def warm_up() -> None:
    """Load what every run would load; called by the process that runs are forked from."""
    import ingestion.lake.dlt_lake  # noqa: F401 - what lands

    with suppress(DbtFailed):  # no model can be built: runs only land
        runner.warm_up(project.dbt_project(load_settings()))


def make_ready() -> None:
    """Open what a run opens first; called by a process that waits for its run."""
    readiness.make_ready(load_settings())
