"""What `status`, the live view and the other commands print in 80 columns and 24 rows: nothing is cut."""

import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console, RenderableType

from orchestration.cli.fitted import FittedTable
from orchestration.cli.live import render
from orchestration.cli.rates import Rates
from orchestration.cli.screen import OnOneScreen
from orchestration.cli.tables import models_table, overview_tables, streams_table, wrong
from orchestration.conditions.condition import Condition, Finding
from orchestration.records.overview import Overview, StreamRow
from orchestration.records.reader import AssetRecord, CheckRecord, RunRecord
from orchestration.records.system_state import ServiceRow

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
SENTENCE = "the oldest event of a batch was 12.3 s old when this mart showed it; its budget is 5 s " * 2


def printed(each: RenderableType, *, width: int = 80, height: int = 24) -> list[str]:
    console = Console(width=width, height=height, file=io.StringIO(), record=True, soft_wrap=True)
    console.print(each)
    return console.export_text().rstrip("\n").split("\n")


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


STREAMS = (
    StreamRow(
        "plant_telemetry", "mqtt", lag_events=34_974, lag_seconds=98_765.4, rows=12_345_678,
        open_rejects=1_234, last_load_at=ago(7_000), last_event_at=ago(7_100),
    ),
    StreamRow("a_stream_with_quite_a_long_name", "kafka", rows=5, last_load_at=ago(1), last_event_at=ago(2)),
)  # fmt: skip


@pytest.mark.parametrize("width", [60, 80, 100, 200])
@pytest.mark.parametrize("rates", [None, {"plant_telemetry": 1234.5}])
def test_every_figure_of_a_stream_stays_whole(width: int, rates: dict[str, float] | None) -> None:
    lines = printed(streams_table(STREAMS, now=NOW, rates=rates), width=width)
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    for figure in ("34,974", "98,765.4", "12,345,678", "1,234", "117min ago", *(["1234.5"] if rates else [])):
        assert figure in text
    if width == 200:
        assert lines[1].split()[:2] == ["plant_telemetry", "mqtt"]


def test_a_rebuild_of_staging_shows_how_far_it_is() -> None:
    row = StreamRow("orders", "kafka", rows=12_345_678, rebuilt_rows=2_000_000)
    text = " ".join(" ".join(printed(streams_table([row], now=NOW), width=200)).split())
    assert "staging is built again: 2,000,000 of at most 12,345,678 rows" in text


def test_what_is_left_out_is_named() -> None:
    table = FittedTable(["name", "via", "rows", "newest"], right=["rows"], least=["via", "newest"])
    table.add_row("orders", "kafka", "1,000,000", "12s ago")
    assert printed(table, width=40)[1].split() == ["orders", "kafka", "1,000,000", "12s", "ago"]
    assert printed(table, width=29) == [
        "name         rows  newest",
        "orders  1,000,000  12s ago",
        "not shown in 29 columns: via",
    ]
    assert printed(table, width=18)[-1] == "not shown in 18 columns: via, newest"


def test_a_row_that_cannot_fit_becomes_lines() -> None:
    numbers = [f"figure{number}" for number in range(12)]
    table = FittedTable(["partition", *numbers, ""], right=numbers)
    table.add_row("orders-0", *(f"{10**number:,}" for number in range(12)), SENTENCE)
    lines = printed(table)
    assert max(map(len, lines)) <= 80
    assert lines[0] == "orders-0"
    assert all(f"figure{number} {10**number:,}" in "\n".join(lines) for number in range(12))
    assert " ".join(" ".join(lines).split()).endswith(SENTENCE.strip())


def test_a_sentence_goes_below_its_row_and_is_whole() -> None:
    table = FittedTable(["asset", "check", ""])
    table.add_row("marts/alerts", "freshness_budget", f"[red]{SENTENCE}[/]")
    lines = printed(table)
    assert lines[1] == "marts/alerts  freshness_budget"
    assert " ".join(line.strip() for line in lines[2:]) == SENTENCE.strip()
    assert len(printed(table, width=250)) == 2


def check(outcome: str) -> CheckRecord:
    return CheckRecord("marts/alerts", "freshness_budget", outcome, SENTENCE, {}, checked_at=NOW)  # type: ignore[arg-type]


def everything(*, errors: tuple[str, ...] = ()) -> Overview:
    run = RunRecord("0123456789", "refresh", "SUCCESS", "arrivals", ago(9), ago(8), ago(7))
    return Overview(
        "/data/of/the/plant", running=True, demo=False, ui_url="http://127.0.0.1:3000", services=SERVICES,
        streams=STREAMS, models=tuple(AssetRecord(f"intermediate/int_model_{n}", NOW) for n in range(9)),
        checks=(check("passed"), check("warned"), check("could_not_run")), runs=(run,) * 5, errors=errors,
    )  # fmt: skip


SERVICES = tuple(ServiceRow(f"service-{n}", n != 3, n, 0, "") for n in range(9))


def live(overview: Overview) -> OnOneScreen:
    return render(
        overview, overview.services, title="Millrace runs on /data; http://127.0.0.1:3000 is the web UI",
        conditions=(), rates={}, now=NOW,
    )  # fmt: skip


@pytest.mark.parametrize("height", [14, 24, 40, 100])
def test_the_live_view_fits_the_window_and_says_what_it_leaves_out(height: int) -> None:
    lines = printed(
        live(everything(errors=("model marts/x cannot be built: a column is missing",))), height=height
    )
    text = "\n".join(lines)
    assert len(lines) < height
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("Millrace runs on /data")
    assert "a column is missing" in text
    assert lines[-1] == "Ctrl-C stops everything."
    if height >= 24:
        assert "34,974" in text
        assert "service-3" in text  # the one that is down
    if height == 100:
        assert "No room" not in text
        assert SENTENCE[:60] in text
    if height == 14:
        assert lines[-2].startswith("No room for: ")


def test_status_in_80_columns() -> None:
    lines = printed(overview_tables(everything(), now=NOW))
    assert max(map(len, lines)) <= 80
    assert printed(models_table([AssetRecord("staging/x", NOW)], [], now=NOW))[1].split()[0] == "staging/x"


def test_rates_are_the_growth_of_the_last_ten_seconds() -> None:
    rates = Rates()
    assert rates.measure({"a": 100}, now_s=0) == {}
    assert rates.measure({"a": 120}, now_s=2) == {"a": 10.0}
    assert rates.measure({"a": 120, "b": 7}, now_s=10) == {"a": 2.0}
    assert rates.measure({"a": 140, "b": 9}, now_s=12) == {"a": 2.0}  # since the second 2
    assert rates.measure({"a": 140, "b": 9}, now_s=60) == {"a": 0.0, "b": 0.0}
    assert rates.measure({}, now_s=61) == {}
    assert rates.measure({"a": 900}, now_s=62) == {}  # not: since it was unknown


def test_since_when_stays_whole_beside_a_long_sentence() -> None:
    finding = Finding("stream_paused", "orders", SENTENCE, "wait")
    for in_short in (True, False):
        shown = wrong([Condition(1, finding, ago(33))], (), now=NOW, in_short=in_short)
        assert shown is not None
        lines = printed(shown)
        assert lines[1].startswith("33s ago  the oldest event")
        assert max(map(len, lines)) <= 80
