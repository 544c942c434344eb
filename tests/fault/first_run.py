"""A warm process that makes a new lake, runs and audits it in forks, and kills them where the order says.

`python -m tests.fault.first_run` reads settings as a first JSON line, then orders: worker.py says how. Which
checks failed, other than as a warning, is written to the order's file.
"""

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

from dagster import AssetCheckSeverity, AssetKey, DagsterInstance

from ingestion.declare.file import load_streams
from ingestion.lake.lake import Lake
from ingestion.settings import load_settings
from orchestration.build import build_defs, build_models, read_project
from orchestration.dbt.manifest import load_manifest
from orchestration.dbt.project import dbt_project
from orchestration.dbt.runner import invoke
from orchestration.keys import AUDIT_JOB, REFRESH_JOB
from tests.fault.builder import note_models
from tests.fault.worker import EXIT_DONE, EXIT_REFUSED, arm, serve


def main() -> None:
    """Load the definitions once, then serve."""
    settings = load_settings(**json.loads(sys.stdin.readline()))
    models = build_models(read_project(settings), run_dbt=partial(invoke, on_event=note_models))
    definitions = build_defs(settings=lambda: settings, asset_overrides=dict.fromkeys(models.keys, models))
    load_manifest(dbt_project(settings))
    jobs = {name: definitions.resolve_job_def(name) for name in (REFRESH_JOB, AUDIT_JOB)}
    streams = [stream.name for stream in load_streams(settings.streams_file)]

    def child(order: dict[str, Any]) -> int:
        if "jobs" not in order:  # whoever waits until all is loaded
            return EXIT_DONE
        arm(order)
        with Lake(settings) as lake:  # as `millrace up` does before anything else
            lake.prepare(streams)
            lake.publish_access()
        failed, went_well = [], True
        for name, assets in order["jobs"].items():
            result = jobs[name].execute_in_process(
                asset_selection=[AssetKey(key) for key in assets] if assets else None,
                instance=DagsterInstance.ephemeral(),
                raise_on_error=False,
            )
            went_well = went_well and result.success
            failed += [
                f"{name}: {check.asset_key.to_user_string()} {check.check_name}: {check.description}"
                for check in result.get_asset_check_evaluations()
                if not check.passed and check.severity == AssetCheckSeverity.ERROR
            ]
        Path(order["failed"]).write_text(json.dumps(failed), encoding="utf-8")
        return EXIT_DONE if went_well else EXIT_REFUSED

    serve(child)


if __name__ == "__main__":
    main()
