"""HTML that is made of values: nothing that an event or a file brought becomes HTML."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from orchestration.page.html import Html, since, table, tag
from tests.page.reading import elements, texts

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
_text = st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]))


@given(_text, _text)
def test_text_stays_text(text: str, attribute: str) -> None:
    made = tag("p", text, title=attribute)
    assert elements(made) == [("p", {"title": attribute})]
    assert "".join(texts(made)) == text


def test_html_is_not_escaped_twice_and_nothing_is_left_out() -> None:
    made = tag("p", tag("b", "<i>"), None, [3, Html("<br>")], hidden=True, class_=None, data_of="a&b")
    assert made == '<p hidden data-of="a&amp;b"><b>&lt;i&gt;</b>3<br></p>'


def test_a_table_names_each_cell_for_narrow_screens() -> None:
    made = table(("stream", "rows", ""), [("a", "3", "late")], right=("rows",))
    cells = [given for name, given in elements(made) if name == "td"]
    assert [cell.get("data-label") for cell in cells] == ["stream", "rows", None]
    assert [cell.get("class") for cell in cells] == [None, "num", "note"]


def test_an_age_carries_its_moment() -> None:
    made = since(NOW - timedelta(seconds=5), now=NOW)
    assert elements(made)[0][1]["datetime"] == "2026-03-01T11:59:55+00:00"
    assert texts(made) == ["5s ago"]
    assert texts(since(None, now=NOW, never="not yet")) == ["not yet"]
