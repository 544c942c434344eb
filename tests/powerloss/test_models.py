"""Models on a disk that loses power: what dbt has committed is on the disk once its command is over."""

import shutil
from pathlib import Path

import pytest

from ingestion.lake.lake import Lake
from ingestion.settings import Settings
from orchestration.dbt import flushing
from tests.dbt_project.conftest import STREAMS, Warehouse, copy_project
from tests.dbt_project.raw import START, RawWriter, order_event
from tests.powerloss.disk import recording

NAMED = """
select data_file from ducklake_list_files('lake', 'stg_production_orders', schema => 'staging')
union all
select data_file from ducklake_list_files('lake', 'order_progress', schema => 'marts')
"""


@pytest.mark.slow("three dbt commands on a lake of its own")
def test_what_dbt_commits_is_flushed(
    settings: Settings, memory_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, image = memory_folder / "disk", memory_folder / "after"
    with Lake(settings.model_copy(update={"data_dir": root / "data"})) as lake:
        warehouse = Warehouse(lake, copy_project(memory_folder / "dbt"), RawWriter(lake))
        warehouse.declare(STREAMS)
        lake.publish_access()

        def on_the_disk(number: int) -> list[bool]:
            warehouse.raw.add("production_orders", [order_event(number, "ord-1", "created", START)])
            with recording(root) as disk:
                before = {path for (path,) in lake.query(NAMED)} if number > 1 else set()
                warehouse.dbt("run", "--select", "+order_progress")
                disk.lose_power(image, None)  # nothing is there that was not flushed
                made = [Path(path) for (path,) in lake.query(NAMED) if path not in before]
                found = [(image / path.relative_to(root)).exists() for path in made]
                shutil.rmtree(image)
            return found

        first, second = on_the_disk(1), on_the_disk(2)
        assert len(first) > 1
        assert all(first)
        assert second
        assert all(second)
        monkeypatch.setattr(flushing.Flusher, "flush", lambda *_: None)
        assert not any(on_the_disk(3)), "without it nothing is there"
