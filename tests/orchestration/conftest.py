"""What tests of several files share: the plant's dbt project, which takes seconds to parse."""

import pytest

from ingestion.declare.file import load_streams
from ingestion.settings import load_settings
from orchestration.dbt.project import ParsedModels, parse_models


@pytest.fixture(scope="session")
def parsed_plant(tmp_path_factory: pytest.TempPathFactory) -> ParsedModels:
    """The parsed project; not to be changed. For tests of the group of its name: once in one worker."""
    settings = load_settings(data_dir=tmp_path_factory.mktemp("plant"))
    return parse_models(settings, load_streams(settings.streams_file))
