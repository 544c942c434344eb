"""A dbt project of two streams on tapes in memory, on a lake of its own, run as the sensor asks for it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from dagster import DagsterInstance, Definitions, RunRequest, SensorResult, build_sensor_context

from ingestion.lake.lake import Lake
from ingestion.project import PRODUCT_DIR
from ingestion.settings import Settings, load_settings
from orchestration.build import build_defs
from orchestration.conditions.reports import reported
from orchestration.dbt import manifest, runner
from orchestration.keys import ARRIVALS_SENSOR, REFRESH_JOB
from orchestration.sensors.backoff import Schedule
from tests.fakes.registered import fakes
from tests.fakes.tape import DECKS

STREAMS = "".join(
    f"{name}:\n  source: {{tape: {name}}}\n  fields: {{n: bigint}}\n" for name in ("left", "right")
)
MODELS = {
    "models/staging/stg_left.sql": "{{ staging('left') }}",
    "models/staging/stg_right.sql": "{{ staging('right') }}",
    "models/marts/lefts.sql": "select count(*) as rows_read from {{ ref('stg_left') }}",
    "models/marts/rights.sql": "select count(*) as rows_read from {{ ref('stg_right') }}",
    "models/marts/lefts.yml": "models: [{name: lefts}]\n",
    "models/marts/rights.yml": "models: [{name: rights}]\n",
    "contracts/rights.yml": "dataset: lake/marts/rights\nchecks: [row_count: ]\ncolumns: [name: rows_read]\n",
}
SETTINGS_OF_DBT = """
name: tiny
version: "0.1.0"
profile: millrace
models:
  tiny:
    staging: {+schema: staging, +materialized: incremental, +incremental_strategy: append_batches}
    marts: {+schema: marts, +materialized: table}
vars: {dedup_window_minutes: 60}
"""


@dataclass
class Plant:
    """The project, and the runs that its sensor asks for.

    Attributes:
        settings: Of its lake.
        folder: Of its dbt project.
        instance: Dagster's.
        cursor: The sensor's.
    """

    settings: Settings
    folder: Path
    instance: DagsterInstance
    cursor: str | None = None
    sent: dict[str, int] = field(default_factory=dict)

    def write(self, name: str, text: str) -> None:
        """Write a file of the project."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def replace(self, name: str, text: str) -> None:
        """Put a file in another's place, each time the same one with the same time: it is parsed once."""
        good, bad = self._kept(name)
        if (self.folder / name).exists():
            (self.folder / name).replace(good)
        if bad.exists():
            bad.replace(self.folder / name)
        else:
            self.write(name, text)

    def put_back(self, name: str) -> None:
        """Undo that."""
        good, bad = self._kept(name)
        (self.folder / name).replace(bad)
        if good.exists():
            good.replace(self.folder / name)

    def _kept(self, name: str) -> tuple[Path, Path]:
        kept = self.folder.with_name(name.replace("/", "_"))
        return kept.with_suffix(".good"), kept.with_suffix(".bad")

    def send(self, *names: str) -> None:
        """An event on each of these streams, on both when none is named."""
        for name in names or ("left", "right"):
            self.sent[name] = self.sent.get(name, 0) + 1
            DECKS[str(self.folder)].reels[name].record(b'{"n": %d}' % self.sent[name])

    def load(self) -> Definitions:
        """What a new process loads."""
        return build_defs(settings=lambda: self.settings, dbt_folder=self.folder)

    def tick(self, definitions: Definitions) -> SensorResult:
        """One evaluation of the sensor."""
        sensor = definitions.resolve_sensor_def(ARRIVALS_SENSOR)
        result = sensor(build_sensor_context(instance=self.instance, cursor=self.cursor))
        assert isinstance(result, SensorResult)
        self.cursor = result.cursor
        return result

    def run(self, definitions: Definitions) -> tuple[RunRequest, bool]:
        """The run that the sensor asks for, executed; its request, and whether it went well."""
        (request,) = self.tick(definitions).run_requests or ()
        job = definitions.resolve_job_def(REFRESH_JOB)
        result = job.execute_in_process(
            instance=self.instance,
            asset_selection=request.asset_selection,
            tags={name: value for name, value in request.tags.items() if name != "millrace/goes_on"},
            raise_on_error=False,
        )
        runner.disconnect()
        return request, result.success

    @property
    def schedule(self) -> Schedule:
        """What the sensor remembers."""
        return Schedule.loads(self.cursor)

    def sentences(self) -> list[str]:
        """What its processes report to be wrong."""
        found = [reported(self.settings.data_dir, by=name) or () for name in ("definitions", "arrivals")]
        return [finding.sentence for findings in found for finding in findings]

    def landed(self) -> dict[str, int]:
        """Stream → rows in raw."""
        with Lake(self.settings, read_only=True) as lake:
            return {name: int(lake.query(f"select count(*) from raw.{name}")[0][0]) for name in self.sent}

    def built(self, mart: str) -> int:
        """How many rows a mart has read; 0 while it does not exist."""
        with Lake(self.settings, read_only=True) as lake:
            if ("marts", mart) not in lake.tables():
                return 0
            return int(lake.query(f"select rows_read from marts.{mart}")[0][0])


@pytest.fixture
def plant(
    tmp_path: Path, new_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Plant]:
    folder = tmp_path / "dbt_project"
    streams = tmp_path / "streams.yml"
    streams.write_text(STREAMS)
    with fakes(), DagsterInstance.ephemeral() as instance:
        settings = load_settings(
            project=tmp_path,
            data_dir=tmp_path / "data",
            catalog=new_database(),
            streams_file=streams,
            tape_deck=str(folder),
        )
        plant = Plant(settings, folder, instance)
        for name, text in MODELS.items():
            plant.write(name, text)
        plant.write("dbt_project.yml", SETTINGS_OF_DBT)
        for name in ("profiles.yml", "packages.yml", "macros/millrace.sql"):
            plant.write(name, (PRODUCT_DIR / "dbt_project" / name).read_text())
        with Lake(settings) as lake:
            lake.prepare(["left", "right"])
            lake.publish_access()
        yield plant
        manifest._read_manifest.cache_clear()
