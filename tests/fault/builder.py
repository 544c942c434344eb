"""A warm process that forks a child per order, which ingests, builds and checks as a run does, and kills it.

`python -m tests.fault.builder` reads settings as a first JSON line, then orders: worker.py says how. The
models and contracts are the project's own.
"""

import json
import sys
from functools import partial
from typing import Any

from dagster import AssetKey, DagsterInstance

from ingestion.faultpoints import faultpoint
from ingestion.settings import load_settings
from orchestration.assets.models import MODELS_OP
from orchestration.build import build_defs, build_models, read_project
from orchestration.dbt.manifest import load_manifest
from orchestration.dbt.project import dbt_project
from orchestration.dbt.runner import invoke
from orchestration.keys import REFRESH_JOB
from tests.fault.worker import EXIT_DONE, EXIT_REFUSED, arm, serve


def note_models(event: Any) -> None:
    """dbt has built a node: a place of its own, which the product does not pay for."""
    if event.info.name == "NodeFinished" and event.data.node_info.resource_type == "model":
        faultpoint("dbt.built")


def main() -> None:
    """Load the definitions once, then serve."""
    settings = load_settings(**json.loads(sys.stdin.readline()))
    models = build_models(read_project(settings), run_dbt=partial(invoke, on_event=note_models))
    definitions = build_defs(settings=lambda: settings, asset_overrides=dict.fromkeys(models.keys, models))
    load_manifest(dbt_project(settings))
    job = definitions.resolve_job_def(REFRESH_JOB)

    def child(order: dict[str, Any]) -> int:
        arm(order)
        options = {"full_refresh": order.get("full_refresh", False)}
        result = job.execute_in_process(
            asset_selection=[AssetKey(key) for key in order["assets"]],
            run_config={"ops": {MODELS_OP: {"config": options}}},
            instance=DagsterInstance.ephemeral(),
            raise_on_error=False,
        )
        return EXIT_DONE if result.success else EXIT_REFUSED

    serve(child)


if __name__ == "__main__":
    main()
