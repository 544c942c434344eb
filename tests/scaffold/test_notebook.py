"""The notebook of a new project: it runs from its own folder, and carries no output."""

import json
import os
import subprocess
import sys
from pathlib import Path

from ingestion.declare.file import load_streams
from ingestion.lake.lake import Lake
from ingestion.settings import Settings
from orchestration.scaffold.new import NOTEBOOK, create_project
from tests.dbt_project.conftest import explain, run_dbt
from tests.dbt_project.raw import START, Event, RawWriter

# Runs the code cells in one namespace, as a kernel does, and prints what each shows at its end.
KERNEL = """
import ast, json, sys
space = {}
for cell in json.load(open(sys.argv[1]))["cells"]:
    if cell["cell_type"] != "code":
        continue
    body = ast.parse("".join(cell["source"])).body
    last = body.pop() if isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), "cell", "exec"), space)
    if last is not None:
        print(eval(compile(ast.Expression(last.value), "cell", "eval"), space))
"""


def test_it_runs_and_carries_no_output(tmp_path: Path, lake: Lake, settings: Settings) -> None:
    project = tmp_path / "shop"
    create_project(project, example="shop")
    streams = load_streams(project / "streams.yml")
    lake.prepare(stream.name for stream in streams)
    lake.publish_access()
    RawWriter(lake).add("orders", [Event({"order_id": f"o-{n}"}, START) for n in range(7)])
    built = run_dbt(project / "dbt_project", settings.data_dir, "build", "--select", "ops_batches")
    assert built.success, explain(built)

    notebook = json.loads((project / NOTEBOOK).read_text())
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    for cell in notebook["cells"]:
        assert cell["id"]
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None

    assert settings.catalog is not None
    variables = {
        "MILLRACE_CATALOG": settings.catalog.get_secret_value(),
        "MILLRACE_DATA_DIR": str(settings.data_dir),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(
        [sys.executable, "-c", KERNEL, NOTEBOOK.name],
        capture_output=True, text=True, cwd=(project / NOTEBOOK).parent, env=os.environ | variables,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "ops_batches" not in done.stderr
    assert "orders" in done.stdout
    assert "batch_id: int64" in done.stdout
