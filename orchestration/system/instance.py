"""Dagster's instance for a Millrace data folder: storage in the same PostgreSQL, the warm launcher.

Dagster reads it from <data_dir>/dagster/dagster.yaml; passwords stay in the environment.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from ingestion.lake.catalog import no_catalog
from ingestion.lake.limits import limited
from ingestion.project import PROJECT_VARIABLE
from ingestion.settings import Settings

_STORAGE_VARIABLE = "MILLRACE_DAGSTER_STORAGE"


def dagster_home(settings: Settings) -> Path:
    """The folder that DAGSTER_HOME must name."""
    return settings.data_dir / "dagster"


def launcher_socket(settings: Settings) -> Path:
    """The Unix socket of the warm process."""
    return settings.data_dir / "run" / "warm.sock"


def dagster_environment(settings: Settings) -> dict[str, str]:
    """What every Dagster process of this installation needs in its environment.

    Raises:
        CatalogUnavailable: Neither a catalog nor a storage for Dagster is configured or running.
    """
    chosen = settings.dagster_catalog or settings.catalog
    if chosen is None:
        raise no_catalog(settings)
    # SQLAlchemy 2.1 takes psycopg 3 for the bare scheme; dagster-postgres brings psycopg 2.
    url = re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql+psycopg2://", limited(chosen.get_secret_value()))
    return {
        "DAGSTER_HOME": str(dagster_home(settings)),
        _STORAGE_VARIABLE: url,
        PROJECT_VARIABLE: str(settings.project),
        "MILLRACE_DATA_DIR": str(settings.data_dir),
        "DO_NOT_TRACK": "1",
    }


def prepare_instance(settings: Settings) -> Path:
    """Write dagster.yaml and return DAGSTER_HOME."""
    home = dagster_home(settings)
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    home.joinpath("dagster.yaml").write_text(yaml.safe_dump(_instance_config(settings), sort_keys=False))
    return home


def _instance_config(settings: Settings) -> dict[str, Any]:
    return {
        "telemetry": {"enabled": False},
        "nux": {"enabled": False},
        "storage": {
            "custom": {
                "module": "orchestration.records.storage",
                "class": "PooledPostgresStorage",
                "config": {"postgres_url": {"env": _STORAGE_VARIABLE}},
            }
        },
        "run_launcher": {
            "module": "orchestration.warm.launcher",
            "class": "WarmRunLauncher",
            "config": {"socket_path": str(launcher_socket(settings))},
        },
        # Launches at once: no queue, no second polling loop. The arrivals sensor keeps runs apart.
        "run_coordinator": {"module": "dagster._core.run_coordinator", "class": "DefaultRunCoordinator"},
        "run_monitoring": {
            "enabled": True,
            "poll_interval_seconds": 10,
            "start_timeout_seconds": 120,
            "free_slots_after_run_end_seconds": 60,
        },
        # Loops of five seconds for what no asset here declares: automation conditions, freshness policies.
        "auto_materialize": {"enabled": False, "use_sensors": False},
        "freshness": {"enabled": False},
        "sensors": {"use_threads": True, "num_workers": 4},
        "retention": {"sensor": {"purge_after_days": {"skipped": 1, "failure": 7, "success": 7}}},
        "local_artifact_storage": {
            "module": "dagster._core.storage.root",
            "class": "LocalArtifactStorage",
            "config": {"base_dir": str(dagster_home(settings))},
        },
        "compute_logs": {
            "module": "dagster._core.storage.noop_compute_log_manager",
            "class": "NoOpComputeLogManager",
        },
    }
