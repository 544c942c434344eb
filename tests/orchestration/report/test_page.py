"""A report's file: everything is in it, nothing of it becomes HTML, and what is away is a sentence."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ingestion.settings import Settings, load_settings
from ingestion.watch.staged import Conflicts
from orchestration.conditions.condition import Condition, Finding
from orchestration.jobs.report import report_job, report_schedules
from orchestration.records.cost_history import CostHistory
from orchestration.records.costs import Cost, ServiceCost
from orchestration.records.history import CheckHistory, JobHistory, Measured
from orchestration.records.overview import Overview, StreamRow
from orchestration.report.charts import distribution, stripe
from orchestration.report.content import SLOTS, Content, Span
from orchestration.report.page import page
from orchestration.report.parts import percent
from orchestration.report.write import write_report
from tests.page.reading import elements, texts
from tests.servers.browser import Browser

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
EVIL = "<script>document.title='evil'</script><img src=http://example.org/x onerror=alert(1)>\"'&"
SECTIONS = {"conditions", "checks", "freshness", "events", "lateness", "rejects", "values", "costs"}


def full(text: str = "orders") -> Content:
    """Every section has something, and every text of it is this one."""
    start = NOW - timedelta(hours=48)
    batch = {
        "stream": text, "events_read": 10, "events_landed": 9, "events_rejected": 1, "bytes_read": 2_000,
        "duration_seconds": 0.5, "positions_skipped": 0,
    }  # fmt: skip
    rejects = [
        {
            "stream": text, "reason": text, "rejects": 2, "open_rejects": 1, "hour_at": at,
            "first_event_id": text, "last_rejected_at": at + timedelta(minutes=5),
        }
        for at in (start, start + timedelta(hours=5))
    ]  # fmt: skip
    late = {
        "in_order": 90, "late_within_10_seconds": 6, "late_within_1_minute": 2, "late_within_1_hour": 1,
        "late_beyond_1_hour": 1, "delay_p50_seconds": 0.5, "delay_p95_seconds": 2.0, "delay_p99_seconds": 9.0,
        "delay_max_seconds": 4000.0, "lateness_max_seconds": 3700.0, "events": 100, "clock_ahead": 0,
    }  # fmt: skip
    cast = {"errors": 3, "events": 100, "last_error_at": NOW, "last_event_id": text, "field": text}
    return Content(
        Span(start, NOW),
        7.0,
        text,
        Overview(text, True, False, "", streams=(StreamRow(text, "kafka", lag_events=3),)),
        version=1234,
        conditions=[Condition(1, Finding("service_down", text, text, text), start)],
        checks=[CheckHistory(f"marts/{text}", text, {0: {"passed": 3}, 40: {"failed": 1, "passed": 2}})],
        freshness={
            f"marts/{text}": [
                Measured(NOW, seconds, 5.0, (1.0, 0.1, 0.2, 0.3)) for seconds in (1.0, 2.0, 3.0, 9.0)
            ]
        },
        ops={
            "ops_batches": [batch | {"ingested_at": start + timedelta(hours=at)} for at in (1, 30)],
            "ops_rejects": rejects,
            "ops_lateness": [late | {"stream": text}],
            "ops_cast_errors": [cast | {"stream": text}],
        },
        conflicts={text: Conflicts(2, text, text, text)},
        costs=CostHistory(
            start,
            NOW,
            [Cost("stream", text, 2, 1.5, 20), Cost("check", text, 5, 0.5)],
            {start: {"stream": 1.5}, NOW - timedelta(hours=1): {"check": 0.5}},
        ),
        services=[ServiceCost(text, 10.0, 0.1, 2**20)],
        jobs=[JobHistory(text, {"SUCCESS": 3, "FAILURE": 1}, 30.0, 20.0)],
        missing=[text],
    )


def test_everything_is_there(settings: Settings) -> None:
    made = page(full(), settings)
    assert {given.get("id") for name, given in elements(made) if name == "section"} >= SECTIONS
    text = " ".join(texts(made))
    for words in (
        "version 1,234 of the lake",
        "budget 5 s",
        "late by up to 10 s",
        "for 20 events in the hours from 2026-02-27 12:00 to 2026-03-01 12:00 UTC",
        "75.0 %",
    ):
        assert words in text, words
    for spoken in ("4 measured, 1 over the budget of 5 s", "passed in 1, failed in 1", "in order 90"):
        assert spoken in made, spoken
    assert "Asked for 7 days: nothing older is recorded." in text
    assert "orders has the id of orders" in text


def test_no_text_of_an_event_or_a_file_becomes_html(settings: Settings) -> None:
    plain, evil = page(full("x"), settings), page(full(EVIL), settings)
    assert [name for name, _ in elements(evil)] == [name for name, _ in elements(plain)]
    assert "<script" not in evil
    assert EVIL in "".join(texts(evil))


def test_it_needs_nothing_else(settings: Settings) -> None:
    made = page(full(), settings)
    given = [attributes for _, attributes in elements(made)]
    assert not [each for each in given if "src" in each]
    assert {each["href"] for each in given if "href" in each} == {"data:,", *(f"#{key}" for key in SECTIONS)}
    assert "url(" not in made
    assert "@import" not in made


def test_an_empty_installation_has_a_report(settings: Settings) -> None:
    span = Span(NOW - timedelta(minutes=10), NOW)
    made = page(Content(span, 7.0, "orders", Overview("/data", False, False, "")), settings)
    text = " ".join(texts(made))
    assert "No check has run in this time." in text
    assert "Nothing: everything worked." in text
    assert "Not known: its ops model is not built yet." in text


def test_what_is_over_the_budget_is_coloured_so() -> None:
    made = distribution([1.0, 2.0, 4.9, 5.0, 50.0], budget=5.0)
    kinds = [given["class"] for name, given in elements(made) if name == "rect"]
    assert kinds.count("warned") == 1
    assert kinds.count("budget") == 1
    assert "5 measured, 1 over the budget of 5 s" in made


def test_a_slot_shows_its_worst_outcome() -> None:
    made = stripe({0: {"passed": 5}, 1: {"passed": 5, "warned": 1}, 3: {"failed": 1}}, of=4, name="orders")
    bars = [(given["x"], given["class"]) for name, given in elements(made) if name == "rect"]
    assert bars == [("0", "passed"), ("1", "warned"), ("3", "failed")]


def test_only_everything_is_100_percent() -> None:
    assert percent(99_999, 100_000) == "99.99 %"
    assert percent(1, 100_000) == "0.01 %"
    assert percent(3, 3) == "100 %"
    assert percent(0, 3) == "0 %"


def test_moments_lie_in_slots_of_the_span() -> None:
    span = Span(NOW - timedelta(hours=48), NOW)
    moments = (span.start, NOW, NOW - timedelta(hours=1), NOW - timedelta(days=9))
    assert [span.slot(at) for at in moments] == [0, SLOTS - 1, SLOTS - 1, 0]


def test_without_databases_it_says_so_and_is_written(tmp_path: Path) -> None:
    away = load_settings(data_dir=tmp_path, catalog="postgresql://nobody@127.0.0.1:1/none")
    file, content = write_report(away, [], path=tmp_path / "report.html", now=NOW)
    assert content.missing
    assert content.missing[0] in "".join(texts(file.read_text()))
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_newest_30_stay(tmp_path: Path) -> None:
    away = load_settings(data_dir=tmp_path, catalog="postgresql://nobody@127.0.0.1:1/none")
    kept = tmp_path / "reports"
    kept.mkdir()
    for day in range(1, 36):
        (kept / f"report-202601{day:02}T000000Z.html").touch()
    (kept / "mine.html").touch()
    file, _ = write_report(away, [], now=NOW)
    names = sorted(each.name for each in kept.iterdir())
    assert len(names) == 31
    assert {"mine.html", file.name, "report-20260135T000000Z.html"} <= set(names)
    assert "report-20260106T000000Z.html" not in names


def test_the_schedule_is_off_unless_named_and_a_wrong_one_costs_nothing_else(settings: Settings) -> None:
    job = report_job([], lambda: settings)
    assert report_schedules(job, "") == ([], [])
    schedules, problems = report_schedules(job, "0 6 * * *")
    assert [each.cron_schedule for each in schedules] == ["0 6 * * *"]
    assert problems == []
    schedules, problems = report_schedules(job, "at six")
    assert schedules == []
    assert "'at six' is not a cron schedule" in problems[0]


def test_the_job_writes_a_report(settings: Settings) -> None:
    assert report_job([], lambda: settings).execute_in_process().success
    (file,) = (settings.data_dir / "reports").iterdir()
    assert "Millrace report" in file.read_text()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_browser_opens_it_from_a_file_without_a_request(
    tmp_path: Path, settings: Settings, dark: bool
) -> None:
    file = tmp_path / "report.html"
    file.write_text(page(replace(full(), missing=[EVIL]), settings))
    with Browser(tmp_path / "browser") as browser:
        browser.watch()
        browser.look(width=390, dark=dark)
        browser.require_shown(f"file://{file}", lambda: ["What did not work"])
        assert browser.evaluate("document.title").startswith("Millrace report")
        assert browser.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        colour = browser.evaluate("getComputedStyle(document.body).backgroundColor")
        assert colour == ("rgb(14, 19, 26)" if dark else "rgb(245, 247, 250)")
        assert {url.split("#")[0] for url in browser.requested()} <= {f"file://{file}", "data:,"}
        assert browser.complaints() == []
