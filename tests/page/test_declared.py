"""page.yml: what a project may put on the page Marts, and what is said of a mistake."""

from pathlib import Path

import pytest

from ingestion.errors import ConfigError
from orchestration.page.declared import Tile, read_tiles


def test_without_the_file_every_mart_has_a_tile(tmp_path: Path) -> None:
    assert read_tiles(tmp_path) is None


def test_tiles_stand_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "page.yml").write_text(
        "tiles:\n- {title: Yield, sql: 'select 1;', chart: number, unit: '%'}\n"
        "- {title: All, mart: orders, limit: 5}\n"
    )
    assert read_tiles(tmp_path) == (
        Tile(title="Yield", sql="select 1;", chart="number", unit="%"),
        Tile(title="All", mart="orders", limit=5),
    )
    assert [each.question for each in read_tiles(tmp_path) or ()] == [
        "from (select 1) limit 200",
        'select * from "orders" limit 5',
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tiles: [{title: A}]", "page.yml at tiles.1: give either 'mart' or 'sql'"),
        ("tiles: [{title: A, mart: a, sql: b}]", "page.yml at tiles.1: give either 'mart' or 'sql'"),
        ("tiles: [{title: A, mart: a, chart: pie}]", "page.yml at tiles.1.chart"),
        ("tiles: [{title: A, mart: 'a b'}]", "page.yml at tiles.1.mart"),
        ("tile: []", "page.yml at tile"),
        ("tiles: [", "page.yml line 1 is not YAML"),
    ],
)
def test_a_mistake_names_its_place(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "page.yml").write_text(text)
    with pytest.raises(ConfigError, match="^" + said.replace(".", r"\.")):
        read_tiles(tmp_path)
