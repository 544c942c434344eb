"""Files for Tableau and Power BI hold what dbt projects promise: tables, columns, types, descriptions."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from ingestion.lake.lake import Lake
from ingestion.serve.instants import NO_STREAM, Builder
from ingestion.serve.shelf import Mart, write_served
from ingestion.settings import Settings, load_settings
from orchestration.build import read_project
from orchestration.dbt.served import served_models
from orchestration.export.power_bi import power_bi_files
from orchestration.export.tableau import tableau_files
from orchestration.scaffold.new import create_project
from orchestration.serving.look import Door
from orchestration.serving.published import read_tables
from orchestration.serving.publisher import Publisher
from tests.dbt_project.conftest import explain, run_dbt
from tests.dbt_project.raw import START, RawWriter, order_event, reading
from tests.scaffold.test_shop import delivered, ordered
from tests.serving.test_tools import columns_of

PROMISED = {
    "boolean": ("boolean", "boolean"),
    "integer": ("integer", "int64"),
    "bigint": ("integer", "int64"),
    "ubigint": ("real", "double"),
    "double": ("real", "double"),
    "decimal(10,2)": ("real", "decimal"),
    "decimal(38,9)": ("real", "double"),
    "varchar": ("string", "string"),
    "date": ("date", "dateTime"),
    "timestamp": ("datetime", "dateTime"),
    "timestamptz": ("datetime", "dateTime"),
    "time": ("string", "string"),
    "uuid": ("string", "string"),
    "json": ("string", "string"),
    "varchar[]": ("string", "string"),
    "blob": ("string", "binary"),
}
"""A type in a contract → Tableau's and Power BI's."""
NOT_IN_EXAMPLES = {
    "paid": "boolean", "number": "integer", "large": "ubigint", "exact": "decimal(38,9)", "day": "date",
    "local_at": "timestamp", "from_time": "time", "id": "uuid", "document": "json", "tags": "varchar[]",
    "picture": "blob",
}  # fmt: skip


def plant(folder: Path, raw: RawWriter) -> None:
    """The demo's project, with a few events."""
    raw.add("plant_telemetry", [reading(1, "oven-01", START)])
    raw.add("production_orders", [order_event(1, "ord-1", "created", START)])


def shop(folder: Path, raw: RawWriter) -> None:
    """Another project, with a mart more whose contract has every type that the example lacks."""
    raw.add("orders", [ordered(1, "19.90")])
    raw.add("deliveries", [delivered(1, 1, 2.5)])
    columns = ",\n".join(f"    null::{kind} as {name}" for name, kind in NOT_IN_EXAMPLES.items())
    (folder / "kinds.sql").write_text(f"select\n{columns}\n")
    declared = "".join(
        f"      - {{name: {name}, data_type: '{kind}', description: 'As {kind}.'}}\n"
        for name, kind in NOT_IN_EXAMPLES.items()
    )
    (folder / "kinds.yml").write_text(
        "version: 2\nmodels:\n  - name: kinds\n    description: One row of each type.\n"
        f"    config: {{materialized: table, contract: {{enforced: true}}}}\n    columns:\n{declared}"
    )


def published(
    settings: Settings, example: str, add: Callable[[Path, RawWriter], None]
) -> tuple[Any, list[Mart]]:
    """Make a project, build and publish it; its manifest, and its marts that BI tools get."""
    folder = settings.project
    create_project(folder, example=example)
    with Lake(settings) as lake:
        streams = read_project(settings).streams
        lake.prepare([stream.name for stream in streams])
        lake.publish_access()
        add(folder / "dbt_project" / "models" / "marts", RawWriter(lake))
        project = read_project(settings)
        assert project.problems == ()
        done = run_dbt(
            folder / "dbt_project", settings.data_dir, "build", "--exclude", "resource_type:unit_test"
        )
        assert done.success, explain(done)
        served = [each.mart for each in served_models(project.parsed, project.lineage)]
        write_served(settings.data_dir, served)
        names = frozenset(mart.name for mart in served)
        builder = Builder(settings, {(NO_STREAM, *(stream.name for stream in streams)): names})
        builder.begin(names)
        builder.end(names, snapshot=lake.snapshot_id, shown={})
        builder.close()
    publisher = Publisher(settings)
    assert publisher.look() is not None
    publisher.close()
    return project.parsed.manifest, [mart for mart in served if mart.published]


@pytest.mark.parametrize(
    ("example", "add", "least"), [("plant", plant, 5), ("shop", shop, 2)], ids=["plant", "shop"]
)
def test_files_of_bi_tools_hold_what_contracts_promise(
    tmp_path: Path,
    new_database: Callable[[], str],
    example: str,
    add: Callable[[Path, RawWriter], None],
    least: int,
) -> None:
    settings = load_settings(
        project=tmp_path / "project",
        data_dir=tmp_path / "data",
        catalog=new_database(),
        serving=new_database(),
    )
    manifest, marts = published(settings, example, add)
    assert len(marts) >= least
    tables, door = read_tables(settings), Door("127.0.0.1", 5433, "serving", "millrace_reader", "")
    tableau, power_bi = tableau_files(door, tables), power_bi_files(door, tables)
    names = {mart.name for mart in marts} | {"_served"}
    assert tableau.keys() == {Path(f"tableau/{name}.tds") for name in names}
    model = Path("power-bi/marts.SemanticModel/definition/tables")
    assert {path.name for path in power_bi if path.parent == model} == {f"{name}.tmdl" for name in names}
    nodes = {node["name"]: node for node in manifest["nodes"].values() if node["resource_type"] == "model"}
    for mart in marts:
        node = nodes[mart.name]
        promised = {
            name: (column["data_type"].lower(), column["description"])
            for name, column in node["columns"].items()
        }
        assert promised, f"{mart.name} promises no columns"
        source = ElementTree.fromstring(tableau[Path(f"tableau/{mart.name}.tds")].encode())
        in_tableau = {
            str(each.get("name")).strip("[]"): (each.get("datatype"), "".join(each.itertext()).strip())
            for each in source.iter("column")
        }
        assert in_tableau == {name: (PROMISED[kind][0], text) for name, (kind, text) in promised.items()}, (
            mart.name
        )
        text = power_bi[model / f"{mart.name}.tmdl"]
        described = columns_of(text)
        assert {name: given["dataType"] for name, given in described.items()} == {
            name: PROMISED[kind][1] for name, (kind, _) in promised.items()
        }, mart.name
        assert [given["sourceColumn"] for given in described.values()] == [*described]
        assert {name for name, given in described.items() if "isKey" in given} == (
            {*mart.key} if len(mart.key) == 1 else set()
        )
        assert text.startswith(f"/// {node['description']}\ntable {mart.name}\n")
        for name, (_, said) in promised.items():
            assert f"\t/// {said}\n\tcolumn {name}\n" in text, f"{mart.name}.{name}"
