"""What a waiting worker has opened: taken once, and only while it is good."""

from collections.abc import Callable, Iterator

import psycopg2
import pytest

from ingestion.declare.file import load_streams
from ingestion.lake.lake import Lake
from ingestion.settings import Settings, load_settings
from orchestration.dbt.project import FULL_SCAN, NO_ASSETS, parse_models
from orchestration.dbt.runner import build_args, invoke
from orchestration.run import readiness


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str]) -> Iterator[Settings]:
    """Settings of a lake with the project's models, which no test changes."""
    settings = load_settings(data_dir=tmp_path_factory.mktemp("built") / "data", catalog=new_database())
    assert settings.catalog is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MILLRACE_DATA_DIR", str(settings.data_dir))
        patch.setenv("MILLRACE_CATALOG", settings.catalog.get_secret_value())
        with Lake(settings) as lake:
            lake.prepare(stream.name for stream in load_streams(settings.streams_file))
            lake.publish_access()
        build(settings)
        yield settings


def build(settings: Settings) -> None:
    project = parse_models(settings, load_streams(settings.streams_file)).project
    invoke(project, build_args("build", exclude=[FULL_SCAN, NO_ASSETS]))


def test_a_run_takes_what_was_opened_once(built: Settings) -> None:
    readiness.make_ready(built)
    session = readiness.take(built)
    assert session is not None
    assert session.lake.query("select count(*) from raw.batches") == [(0,)]
    assert readiness.take(built) is None
    session.lake.close()


def test_a_run_with_other_settings_opens_its_own(built: Settings) -> None:
    readiness.make_ready(built)
    assert readiness.take(built.model_copy(update={"batch_max_events": 7})) is None


def test_what_has_gone_stale_is_not_given(built: Settings) -> None:
    """As after a restart of PostgreSQL: every session of the catalog is gone, dbt's too."""
    assert built.catalog is not None
    readiness.make_ready(built)
    with psycopg2.connect(built.catalog.get_secret_value()) as connection, connection.cursor() as cursor:
        cursor.execute(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid()"
        )
    connection.close()
    session = readiness.take(built)
    if session is not None:  # DuckDB made a new connection by itself: then it has to work
        assert session.lake.query("select count(*) from raw.batches") == [(0,)]
        session.lake.close()
    build(built)
