"""The check and the condition of missing numbers, and how an operator gives them up."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from dagster import AssetKey

from ingestion.declare.stream import Stream
from ingestion.errors import ConfigError
from ingestion.lake.lake import Lake
from ingestion.lake.tables import ACCEPTED_GAPS
from ingestion.land.accepted_gaps import accept_gaps
from ingestion.settings import load_settings
from ingestion.watch.sequences import Gap, described, missing_now
from orchestration.checks.sequences import sequence_result, sequence_spec
from orchestration.conditions.gaps import gap_findings, note_gaps
from orchestration.keys import WARNING
from tests.dbt_project.reckoning import AT, Sent, macros, make_runs

KEY = AssetKey(["staging", "stg_s"])


def stream(**values: object) -> Stream:
    """A stream whose senders count."""
    fields = {"device": "varchar", "n": "bigint"}
    sequence = {"per": "device", "field": "n"} | values
    return Stream.model_validate(
        {"name": "s", "source": {"kafka": "s"}, "fields": fields, "sequence": sequence}
    )


@pytest.fixture
def lake(tmp_path: Path, new_database: Callable[[], str]) -> Iterator[Lake]:
    """A lake."""
    with Lake(load_settings(data_dir=tmp_path, catalog=new_database())) as lake:
        lake.prepare(["s"])
        lake.query("create schema lake.marts")
        yield lake


def build(lake: Lake, events: Sequence[Sent]) -> None:
    """Have the marts show events."""
    sequence = stream().sequence
    assert sequence is not None
    make_runs(lake.connection, "lake.marts.ops_sequence_runs", sequence, events)
    gaps = macros().sequence_gaps(
        "lake.marts.ops_sequence_runs", {"s": sequence.meta()}, f"raw.{ACCEPTED_GAPS}"
    )
    lake.query(f"create or replace view lake.marts.ops_sequence_gaps as {gaps}")


def checked(lake: Lake, **values: object) -> tuple[str, str]:
    """What the check says: outcome and sentence."""
    result = sequence_result(lake, KEY, stream(**values))
    assert result is not None
    assert result.passed == (result.metadata["outcome"].value == "passed")
    return str(result.metadata["outcome"].value), result.description or ""


def conditions(lake: Lake, now: datetime) -> list[str]:
    """What the supervisor finds at a moment."""
    return [each.sentence for each in gap_findings(lake.settings.data_dir, [stream()], now=now)]


def sent(sender: str, *numbers: int, batch: int = 1) -> list[Sent]:
    """Events of a sender, each at the second that its number is."""
    return [Sent(number, number, batch, sender) for number in numbers]


def test_what_never_came_is_said_until_it_comes_or_is_given_up(lake: Lake) -> None:
    assert checked(lake)[0] == "could_not_run", "a model that is not built has found nothing"
    events = sent("a", 1, 2, 5)
    build(lake, events)
    said = "2 events of sender a of s never came: numbers 3 to 4, after 2026-03-01 23:59:52 UTC"
    assert checked(lake) == ("warned", f"{WARNING}{said} (none may be missing)")
    assert checked(lake, warn=2) == ("passed", "")
    assert checked(lake, warn=0, fail=1) == ("failed", f"{said} (at most 1 may be missing)")
    read_at = events[0].ingested_at
    assert conditions(lake, read_at + timedelta(minutes=9)) == [], "they may still come"
    assert conditions(lake, read_at + timedelta(minutes=10)) == [said]

    events += [*sent("a", 3, batch=2), *sent("b", 1, 5, 9, batch=2)]
    build(lake, events)
    _, sentence = checked(lake)
    assert "6 events of sender b of s never came: in 2 gaps from number 2 on" in sentence
    assert "7 events of 2 senders are missing in all" in sentence

    with pytest.raises(ConfigError, match="needs a note"):
        accept_gaps(lake, "s", note=" ")
    assert accept_gaps(lake, "s", note="lightning", sender="b") == (2, 6)
    assert checked(lake)[1].startswith(f"{WARNING}1 event of sender a of s never came: number 4, after")
    assert accept_gaps(lake, "s", note="all of it") == (1, 1)
    assert checked(lake) == ("passed", "")
    assert conditions(lake, read_at + timedelta(days=1)) == []
    assert accept_gaps(lake, "s", note="again") == (0, 0)

    build(lake, [*events, *sent("b", 20, batch=3)])
    assert checked(lake)[0] == "warned", "what is lost later is not given up with it"
    assert conditions(lake, read_at + timedelta(days=1))


def test_a_gap_counts_from_when_it_may_no_longer_be_filled_until_it_is_forgotten() -> None:
    sequence = stream(late_minutes=5, accept_after_hours=1).sequence
    assert sequence is not None
    gap = Gap("a", 7, 9, 3, None, AT)
    ages = (timedelta(minutes=4.9), timedelta(minutes=5), timedelta(minutes=59.9), timedelta(hours=1))
    assert [missing_now([gap], sequence, now=AT + age).numbers for age in ages] == [0, 3, 3, 0]
    found = missing_now([gap], sequence, now=AT + ages[1])
    assert described(found, "s") == "3 events of sender a of s never came: numbers 7 to 9"


def test_a_file_that_says_nothing_is_no_finding(tmp_path: Path) -> None:
    folder = tmp_path / "conditions" / "gaps"
    folder.mkdir(parents=True)
    for content in ("", "{", '[{"sender": "a"}]', "[7]", "null"):
        (folder / "s.json").write_text(content)
        assert list(gap_findings(tmp_path, [stream()], now=AT)) == []
    note_gaps(tmp_path, "s", [Gap("a", 7, 9, 3, None, AT)])
    (finding,) = gap_findings(tmp_path, [stream()], now=AT + timedelta(days=1))
    assert finding.remedy.endswith("'millrace gaps accept s --note …' gives them up.")


def test_only_streams_that_count_have_the_check() -> None:
    plain = Stream.model_validate({"name": "s", "source": {"kafka": "s"}, "fields": {"n": "bigint"}})
    assert sequence_spec(KEY, plain) is None
    spec = sequence_spec(KEY, stream())
    assert spec is not None
    assert spec.description == "No number of a sender's 'n' is missing for more than 10 minutes."
