"""What a process imports when it starts: seconds of a recovery, and of every command."""

import json
import os
import subprocess
import sys

import pytest

from orchestration.dbt.project import FULL_SCAN_TAG, ParsedModels
from orchestration.dbt.specs import dbt_specs
from tests.repository import REPOSITORY

pytestmark = pytest.mark.xdist_group("parsed_plant")
PARSED = "orchestration.definitions"
MODELS = {"dbt", "dagster_dbt", "networkx", "sqlglot"}
"""dbt, and what would bring it: over a second."""
LOADS = {"dlt", "soda_core", "soda_duckdb"}
"""What a run needs, and only a run."""
DATA = {"duckdb", "pyarrow", "psycopg2", "kafka", "paho", "pika", "boto3"}
DAGSTER = {"dagster", "sqlalchemy", "alembic"}
PRINTS = {"rich", "pygments", "jinja2"}
"""Five to seven MiB in each process."""
STARTS = {
    PARSED: MODELS | LOADS,
    "orchestration.code_server.__main__": MODELS | LOADS | DATA,
    "orchestration.daemon.__main__": MODELS | LOADS | DATA,
    "orchestration.system.running": MODELS | LOADS | DAGSTER,
    "orchestration.metrics.__main__": MODELS | LOADS | DAGSTER | PRINTS | {"kafka", "paho", "pika", "boto3"},
    "orchestration.cli.app": MODELS | LOADS | DAGSTER | {"duckdb", "psycopg2", "kafka", "paho"},
    "ingestion.collect.__main__": MODELS | LOADS | DAGSTER | PRINTS | DATA - {"pyarrow"},
}
_PROGRAM = """
import gc, importlib, json, sys
importlib.import_module(sys.argv[1])
imported = sorted({name.partition(".")[0] for name, module in sys.modules.items() if module})
print(json.dumps([imported, gc.isenabled(), gc.get_freeze_count()]))
"""


@pytest.mark.parametrize("module", STARTS)
def test_a_start_imports_what_it_needs(module: str, parsed_plant: ParsedModels) -> None:
    """The definitions load as after a restart: the project was parsed before."""
    for tag in ("", FULL_SCAN_TAG):
        dbt_specs(parsed_plant, without_tag=tag)
    data_dir = parsed_plant.project.state_dir.parent
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _PROGRAM, module],
        env=os.environ | {"MILLRACE_DATA_DIR": str(data_dir)},
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    imported, collects, frozen = json.loads(ran.stdout.splitlines()[-1])
    assert STARTS[module].isdisjoint(imported), sorted(STARTS[module] & set(imported))
    assert collects
    if "dagster" in imported:
        assert frozen > 100_000, "what was imported is walked again and again"
