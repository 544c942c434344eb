"""The recipes of docs/modelling.md, run as they stand there."""

import re
from datetime import timedelta
from pathlib import Path

from ingestion.declare.file import load_streams
from ingestion.lake.lake import Lake
from ingestion.settings import Settings
from orchestration.dbt.prepared import prepare_project
from orchestration.scaffold.new import create_project
from tests.dbt_project.conftest import explain, run_dbt
from tests.dbt_project.raw import START, Event, RawWriter
from tests.repository import REPOSITORY

FILE = re.compile(r"^`([\w/.]+)`:\n\n```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
READINGS = """
readings:
  source: {mqtt: sensors/+}
  event_time: measured_at
  fields: {device: varchar, reading: double, measured_at: timestamp}
"""


def test_values_are_corrected_by_a_seed(tmp_path: Path, lake: Lake, settings: Settings) -> None:
    create_project(tmp_path / "plain", example="none")
    (tmp_path / "plain" / "streams.yml").write_text(READINGS)
    streams, dbt = load_streams(tmp_path / "plain" / "streams.yml"), tmp_path / "plain" / "dbt_project"
    (dbt / "models" / "staging" / "stg_readings.sql").write_text("{{ staging('readings') }}\n")
    section = (REPOSITORY / "docs" / "modelling.md").read_text().partition("## Correct values by a seed")[2]
    files = dict(FILE.findall(section))
    assert set(files) == {
        "seeds/calibration.csv",
        "seeds/calibration.yml",
        "models/intermediate/int_readings.sql",
    }
    for name, text in files.items():
        (dbt / name).parent.mkdir(exist_ok=True)
        (dbt / name).write_text(text)
    prepare_project(streams, dbt)
    lake.prepare(["readings"])
    lake.publish_access()

    def sent(device: str, reading: float, minutes: int) -> Event:
        at = START + timedelta(minutes=minutes)
        return Event({"device": device, "reading": reading, "measured_at": at.isoformat()}, at)

    events = [sent("s-1", 20.0, 29), sent("s-1", 20.0, 30), sent("s-2", 68.0, 0), sent("s-3", 5.0, 0)]
    RawWriter(lake).add("readings", events)
    built = run_dbt(dbt, settings.data_dir, "build", "--select", "+int_readings")
    assert built.success, explain(built)
    sql = "select device, reading_as_sent, round(reading, 3), unit from intermediate.int_readings"
    assert lake.query(f"{sql} order by event_at, device") == [
        ("s-2", 68.0, 20.0, "C"), ("s-3", 5.0, 5.0, None), ("s-1", 20.0, 20.0, "C"), ("s-1", 20.0, 19.6, "C"),
    ]  # fmt: skip
