"""An extract that is brought to a newer version holds what one holds that is written as a whole."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tableauhyperapi import Connection, HyperProcess, Telemetry

from ingestion.errors import ConfigError
from ingestion.lake.lake import Lake
from ingestion.serve.shelf import Mart, write_served
from ingestion.settings import Settings, load_settings
from orchestration.export.export import Exported, ExportRefused, export

KEYED, PLAIN = "orders", "sightings"
COLUMNS = "(id bigint, part integer, money decimal(18,2), note varchar, tags varchar[], moved_at timestamptz)"


@pytest.fixture
def shop(tmp_path: Path, new_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A mart with a key, one without, and a view."""
    settings = load_settings(data_dir=tmp_path / "data", catalog=new_database())
    monkeypatch.chdir(tmp_path)  # in which Hyper would leave its log
    with Lake(settings) as lake:
        lake.prepare([])
        for sql in (
            "create schema marts",
            f"create table marts.{KEYED} {COLUMNS}",
            f"create table marts.{PLAIN} (id bigint)",
            f"create view marts.shown as from marts.{KEYED}",
        ):
            lake.connection.execute(sql)
    marts = [Mart(KEYED, "marts", KEYED, (), ("id", "part")), Mart(PLAIN, "marts", PLAIN, ())]
    write_served(settings.data_dir, [*marts, Mart("shown", "marts", "shown", (), ("id", "part"))])
    return settings


def change(settings: Settings, *statements: str) -> None:
    with Lake(settings) as lake:
        for statement in statements:
            lake.connection.execute(statement)


def rows_of(path: Path, table: str) -> list[str]:
    options = {"telemetry": Telemetry.DO_NOT_SEND_USAGE_DATA_TO_TABLEAU, "parameters": {"log_config": ""}}
    with HyperProcess(**options) as server, Connection(server.endpoint, path) as connection:
        return sorted(map(repr, connection.execute_list_query(f'select * from "public"."{table}"')))


def require_same(settings: Settings, mart: str, path: Path, *, rows: int) -> Exported:
    """Append, and compare with a file that is written as a whole."""
    done = export(settings, mart, path, append=True)
    whole = path.with_name("whole.hyper")
    export(settings, mart, whole, replace=True)
    assert rows_of(path, mart) == rows_of(whole, mart)
    assert done.rows == rows
    return done


def test_changed_new_and_removed_rows_are_as_in_a_whole_file(shop: Settings, tmp_path: Path) -> None:
    path = tmp_path / "x.hyper"
    at = "timestamptz '2026-03-01 08:00:00+00'"
    values = f"select i, 0, i / 10, 'n' || i, ['a', null], {at} from range(100) as t(i)"
    change(
        shop,
        f"insert into marts.{KEYED} {values}",
        f"insert into marts.{KEYED} (id, note) values (7, 'null in the key')",
    )
    assert export(shop, KEYED, path, append=True).rows == 101  # the first time it is written as a whole
    require_same(shop, KEYED, path, rows=0)
    change(
        shop,
        f"insert into marts.{KEYED} (id, part, note) values (1000, 1, 'new')",
        f"update marts.{KEYED} set note = 'once', money = 9.99 where id in (3, 4)",
        f"update marts.{KEYED} set note = 'twice' where id = 4",
        f"delete from marts.{KEYED} where id in (5, 6) or (id = 7 and part is null)",
        f"insert into marts.{KEYED} (id, part, note) values (6, 0, 'back'), (7, null, 'back')",
    )
    done = require_same(shop, KEYED, path, rows=5)  # 1000, 3, 4, 6, and 7 without a part
    assert done.snapshot > 0
    change(shop, f"delete from marts.{KEYED} where id < 50")
    require_same(shop, KEYED, path, rows=0)
    change(shop, f"insert into marts.{KEYED} (id) values (1)")
    require_same(shop, KEYED, path, rows=1)


def test_without_a_key_rows_may_only_come(shop: Settings, tmp_path: Path) -> None:
    path = tmp_path / "x.hyper"
    change(shop, f"insert into marts.{PLAIN} values (1), (1), (null)")
    export(shop, PLAIN, path)
    change(shop, f"insert into marts.{PLAIN} values (1), (2)")
    require_same(shop, PLAIN, path, rows=2)
    change(shop, f"delete from marts.{PLAIN} where id = 2")
    before = path.read_bytes()
    with pytest.raises(ExportRefused, match=r"1 rows of sightings were changed or removed .* no key"):
        export(shop, PLAIN, path, append=True)
    assert path.read_bytes() == before, "a file that cannot be brought forward stays as it was"
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []


def test_what_cannot_be_right_is_refused(shop: Settings, tmp_path: Path) -> None:
    path, shown, other = tmp_path / "x.hyper", tmp_path / "shown.hyper", tmp_path / "other.hyper"
    change(shop, f"insert into marts.{PLAIN} values (1)")
    for name, file in ((KEYED, path), ("shown", shown), (PLAIN, other)):
        export(shop, name, file)
    with pytest.raises(ExportRefused, match="view, of which the lake keeps no changes"):
        export(shop, "shown", shown, append=True)
    with pytest.raises(ExportRefused, match=r"other\.hyper holds marts\.sightings"):
        export(shop, KEYED, other, append=True)
    for arguments in ({"at": 1}, {"replace": True}):
        with pytest.raises(ConfigError, match="--append brings"):
            export(shop, KEYED, path, append=True, **arguments)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="--append brings"):
        export(shop, KEYED, tmp_path / "x.csv", append=True)
    kept = tmp_path / "kept.hyper"
    shutil.copy(path, kept)
    change(shop, f"alter table marts.{KEYED} add column more integer")
    with pytest.raises(ExportRefused, match=r"the columns of orders are others"):
        export(shop, KEYED, path, append=True)
    change(shop, f"drop table marts.{KEYED}", f"create table marts.{KEYED} {COLUMNS}")
    with pytest.raises(ExportRefused, match=r"orders was rebuilt after kept\.hyper"):
        export(shop, KEYED, kept, append=True)
    path.write_bytes(b"not a file of Hyper")
    with pytest.raises(ExportRefused, match="does not say which version"):
        export(shop, KEYED, path, append=True)


def test_expired_versions_are_refused(shop: Settings, tmp_path: Path) -> None:
    path = tmp_path / "x.hyper"
    export(shop, KEYED, path)
    for number in range(3):
        change(shop, f"insert into marts.{KEYED} (id) values ({number})")
    change(shop, "call ducklake_expire_snapshots('lake', older_than => now() + interval '1 minute')")
    with pytest.raises(ExportRefused, match="versions since then have expired"):
        export(shop, KEYED, path, append=True)
