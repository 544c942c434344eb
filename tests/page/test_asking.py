"""SQL from the page, on a lake: one SELECT, so many rows, so much time."""

import asyncio
from collections.abc import Iterator
from contextlib import closing

import pytest
from pydantic import SecretStr

from ingestion.lake.lake import Lake
from ingestion.settings import Settings
from orchestration.cli.query import QueryRefused, Questions
from orchestration.page.asking import Asking
from tests.page.reading import shown, texts

ENDLESS = "select count(*) from range(100000) as a, range(100000) as b where hash(a.range, b.range) = 1"


@pytest.fixture
def asking(lake: Lake) -> Iterator[Asking]:
    lake.prepare(["orders"])
    asking = Asking(lake.settings, within_seconds=2)
    yield asking
    asking.close()


def answer(asking: Asking, sql: str, limit: int = 100) -> tuple[int, str]:
    return asyncio.run(asking.answer({"sql": sql, "limit": limit}))


def test_an_answer_has_its_rows_and_says_that_there_are_more(asking: Asking, lake: Lake) -> None:
    status, html = answer(asking, "select range as n, '<b>' as text from range(7)", limit=3)
    assert status == 200
    assert f"3 rows; there are more than 3 · version {lake.snapshot_id()} of the lake" in shown(html)
    assert texts(html)[-6:] == ["0", "<b>", "1", "<b>", "2", "<b>"]
    assert "1 row · " in shown(answer(asking, "select count(*) from raw.batches")[1])


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("drop table raw.batches", "one SELECT"),
        ("select 1; select 2", "one SELECT"),
        ("copy (select 1) to '/tmp/x'", "one SELECT"),
        ("select * from read_text('/etc/passwd')", "failed"),
        ("set memory_limit = '1TB'", "one SELECT"),
        ("select nothing from nowhere", "failed"),
        (ENDLESS, "longer than 2 s"),
        ("", "sql"),
    ],
)  # fmt: skip
def test_what_is_refused_says_why_and_the_next_question_is_answered(
    asking: Asking, sql: str, said: str
) -> None:
    status, html = answer(asking, sql)
    assert status == 400
    assert said in shown(html)
    assert answer(asking, "select 42 as n")[0] == 200


def test_time_that_is_up_before_a_question_begins_ends_it(lake: Lake) -> None:
    lake.prepare(["orders"])
    with closing(Questions(lake.settings)) as questions, pytest.raises(QueryRefused, match="longer than 0 s"):
        questions.first_rows(ENDLESS, limit=1, within_seconds=0)


def test_a_lake_that_is_away_is_one_sentence(settings: Settings) -> None:
    asking = Asking(settings.replaced(catalog=SecretStr("postgresql://me@127.0.0.1:1/lake")))
    status, html = answer(asking, "select 1")
    assert status == 503
    assert "cannot be reached" in shown(html)
