"""Charts of a query's rows: what becomes a line, where its points are, and what is read aloud."""

from datetime import UTC, datetime, timedelta
from typing import Any

from orchestration.page.charts import Series, bars, line, series_of
from tests.page.reading import elements, shown

BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(minutes: int) -> datetime:
    return BEGIN + timedelta(minutes=minutes)


def test_a_column_of_text_keeps_lines_apart_and_several_numbers_have_their_names() -> None:
    rows: list[tuple[Any, ...]] = [(at(0), "press", 1, 2.5), (at(1), "mill", 3, None), (None, "mill", 4, 4.0)]
    assert series_of(["minute", "machine", "count", "mean"], rows) == [
        Series("press count", ((at(0), 1.0),)),
        Series("press mean", ((at(0), 2.5),)),
        Series("mill count", ((at(1), 3.0),)),
    ]
    assert series_of(["minute", "machine", "count"], [(at(0), "press", 1)]) == [
        Series("press", ((at(0), 1.0),))
    ]
    assert series_of(["minute"], [(at(0),)]) == []


def test_a_line_lies_where_its_points_are() -> None:
    drawn = line([Series("a", ((at(2), 10.0), (at(0), 0.0), (at(1), 5.0)))], unit=" °C")
    (polyline,) = [given for name, given in elements(drawn) if name == "polyline"]
    assert polyline["points"] == "52.0,198.0 346.0,103.0 640.0,8.0"
    assert "03-01 12:00 03-01 12:02" in shown(drawn)
    (picture,) = [given for name, given in elements(drawn) if name == "svg"]
    assert picture["aria-label"] == "a: 5 °C at last"


def test_a_value_that_does_not_change_and_a_single_one_are_drawn() -> None:
    for points in (((at(0), 7.0), (at(1), 7.0)), ((at(0), 7.0),)):
        assert "7" in shown(line([Series("a", points)]))
    assert "nothing to draw" in shown(line([Series("a", (("word", 1.0),))]))
    assert "nothing to draw" in shown(bars([]))


def test_bars_stand_on_zero() -> None:
    drawn = bars([Series("a", (("press", 4.0), ("mill", -4.0)))])
    up, down = (given for name, given in elements(drawn) if name == "rect")
    assert float(up["y"] or 0) + float(up["height"] or 0) == float(down["y"] or 0)
