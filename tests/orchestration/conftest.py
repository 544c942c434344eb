"""What tests of several files share: the plant's dbt project, parsed once, and Dagster's records."""

from collections.abc import Iterator

import pytest
from dagster import DagsterInstance

from ingestion.declare.file import load_streams
from ingestion.settings import Settings, load_settings
from orchestration.dbt.project import ParsedModels, parse_models
from orchestration.system.instance import dagster_environment, prepare_instance


@pytest.fixture(scope="session")
def parsed_plant(tmp_path_factory: pytest.TempPathFactory) -> ParsedModels:
    """The parsed project; not to be changed. For tests of the group of its name: once in one worker."""
    settings = load_settings(data_dir=tmp_path_factory.mktemp("plant"))
    return parse_models(settings, load_streams(settings.streams_file))


@pytest.fixture
def instance(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[DagsterInstance]:
    """Dagster as a system of these settings has it, its records in PostgreSQL."""
    for name, value in dagster_environment(settings).items():
        monkeypatch.setenv(name, value)
    with DagsterInstance.from_config(str(prepare_instance(settings))) as instance:
        yield instance
