"""docs/rules.md, run as it stands there, in a project that has nothing else."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from dagster import AssetKey

from ingestion.declare.file import load_streams
from ingestion.lake.lake import Lake
from ingestion.settings import Settings
from orchestration.assets.rule_alerts import alert_models, look_at_alerts
from orchestration.build import read_project
from orchestration.conditions.rule_alerts import owe_builds, rule_alert_findings
from orchestration.scaffold.new import create_project
from tests.dbt_project.conftest import explain, run_dbt
from tests.dbt_project.raw import START, Event, RawWriter
from tests.repository import REPOSITORY

PAGE = (REPOSITORY / "docs" / "rules.md").read_text()
FILE = re.compile(r"^`([\w/.]+)`:\n\n```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass
class Ruled:
    """The page's project."""

    lake: Lake
    dbt_folder: Path
    raw: RawWriter
    look: Callable[..., None]

    def send(self, *readings: tuple[str, float, float]) -> None:
        """Append a batch of device, Celsius and second, and build all."""
        self.raw.add(
            "readings",
            [
                Event({"device": device, "celsius": celsius, "measured_at": at.isoformat()}, at)
                for device, celsius, second in readings
                for at in [START + timedelta(seconds=second)]
            ],
        )
        self.build()

    def build(self, *arguments: str) -> None:
        """What a run does: build, then look."""
        built = run_dbt(self.dbt_folder, self.lake.settings.data_dir, "build", *arguments)
        assert built.success, explain(built)
        self.look()

    def alerts(self) -> list[tuple[object, ...]]:
        """Rule, device, and the seconds at which alerts opened and closed."""
        start = START.isoformat()
        return self.lake.query(
            f"select rule_id, device, epoch(opened_at - timestamptz '{start}')::int,"
            f" epoch(closed_at - timestamptz '{start}')::int from lake.marts.alerts order by all"
        )

    def conditions(self) -> set[str]:
        """The subjects of what is open."""
        return {each.subject for each in rule_alert_findings(self.lake.settings.data_dir)}


@pytest.fixture
def ruled(tmp_path: Path, lake: Lake, settings: Settings) -> Ruled:
    """The files that the page shows, in a new project."""
    folder = tmp_path / "plain"
    create_project(folder, example="none")
    (folder / "streams.yml").write_text(re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0])
    dbt = folder / "dbt_project"
    (dbt / "models" / "staging" / "stg_readings.sql").write_text("{{ staging('readings') }}\n")
    for name, text in FILE.findall(PAGE):
        (dbt / name).parent.mkdir(exist_ok=True)
        (dbt / name).write_text(text)
    streams = load_streams(folder / "streams.yml")
    lake.prepare([stream.name for stream in streams])
    lake.publish_access()
    project = read_project(
        settings.model_copy(update={"streams_file": folder / "streams.yml"}), dbt_folder=dbt
    )
    models = alert_models(project.parsed, project.lineage)
    assert [model.name for model in models] == ["alerts", "unknown_devices"]
    everything = frozenset(project.lineage.keys.values())

    def look(built: frozenset[AssetKey] = everything) -> None:
        look_at_alerts(lake, models, built=built)

    return Ruled(lake, dbt, RawWriter(lake), look)


@pytest.mark.slow("dbt builds the project seven times")
def test_the_page_does_what_it_says(ruled: Ruled) -> None:
    ruled.send(("s-1", 81, 0), ("s-1", 82, 20), ("s-2", 20, 0))
    assert ruled.alerts() == [], "it has to last for 30 s"

    ruled.send(("s-1", 78, 25), ("s-1", 83, 31))
    assert ruled.alerts() == [("hot", "s-1", 0, None)]
    assert ruled.conditions() == {"hot of s-1"}
    (finding,) = rule_alert_findings(ruled.lake.settings.data_dir)
    assert finding.sentence == (
        "'s-1' breaks the rule 'hot' (critical) since 2026-03-01 08:00:00 UTC: "
        "Warmer than its grease can bear"
    )

    ruled.send(("s-1", 76, 40), ("s-2", -1, 41))
    assert ruled.alerts() == [("frozen", "s-2", 41, None), ("hot", "s-1", 0, None)], "76 is not within 75"
    assert ruled.conditions() == {"hot of s-1"}, "a warning is no condition here"

    ruled.send(("s-1", 74, 50), ("s-9", 20, 50))
    assert ruled.alerts() == [("frozen", "s-2", 41, None), ("hot", "s-1", 0, 50)]
    assert ruled.conditions() == {"unknown_device of s-9"}

    ruled.send(("s-1", 60, 10))
    assert ruled.alerts() == [("frozen", "s-2", 41, None)], "neither of its parts lasted for 30 s"
    ruled.build("--full-refresh")
    assert ruled.alerts() == [("frozen", "s-2", 41, None)]

    (ruled.dbt_folder / "seeds" / "devices.csv").write_text("device,site\ns-9,north\ns-1,x\ns-2,x\n")
    ruled.build()
    assert ruled.conditions() == set()


@pytest.mark.slow("dbt builds the project three times")
def test_an_alert_whose_mart_a_restored_lake_has_not_built_yet_stays_open(ruled: Ruled) -> None:
    """The backup has the batch in raw and the models from before it; then one of them fails once."""
    ruled.send(("s-1", 81, 0), ("s-1", 83, 31))
    assert ruled.conditions() == {"hot of s-1"}
    ruled.lake.connection.execute("delete from lake.intermediate.int_alert_runs")
    owe_builds(ruled.lake.settings.data_dir)
    ruled.look(frozenset({AssetKey(["staging", "stg_readings"])}))
    assert ruled.conditions() == {"hot of s-1"}, "it has not been looked for yet"
    (before,) = rule_alert_findings(ruled.lake.settings.data_dir)
    ruled.build("--full-refresh")
    (after,) = rule_alert_findings(ruled.lake.settings.data_dir)
    assert before.identity == after.identity, "the same alert: nobody is paged again"
    ruled.send(("s-1", 70, 60))
    assert ruled.conditions() == set()
