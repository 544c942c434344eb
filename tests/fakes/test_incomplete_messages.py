"""Messages of Sparkplug B whose metrics nobody named, or that never came: counted, said, shown by status."""

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from dagster import AssetKey, DagsterInstance, materialize
from rich.console import Console

from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.settings import Settings
from ingestion.watch.incomplete import Incomplete, count_incomplete
from orchestration.assets.raw import raw_asset
from orchestration.checks.incomplete import INCOMPLETE_CHECK, incomplete_results, incomplete_specs
from orchestration.cli.tables import checks_summary
from orchestration.records.reader import check_record
from orchestration.run.resources import lake_session
from tests.fakes.registered import fakes
from tests.fakes.tape import Deck
from tests.formats.edge_node import EdgeNode
from tests.ingestion.helpers import ingest

FIELDS = {"fields": {"node": "varchar", "bd_seq": "bigint", "seq": "bigint"}}


def stream(format_: Any = "sparkplug", **more: Any) -> Stream:
    with fakes():
        declared = {"name": "plant", "source": {"tape": "reel"}, "format": format_} | more
        return Stream.model_validate(declared)


def send(deck: Deck, messages: Iterable[tuple[str, bytes]]) -> None:
    for topic, value in messages:
        deck.reels["reel"].record(value, key=topic.encode())


def found(lake: Lake) -> Incomplete:
    declared = stream()
    said = declared.format.options.completeness
    assert said is not None
    return count_incomplete(lake, declared, said)


def result(lake: Lake, declared: Stream) -> Any:
    (one,) = incomplete_results(lake, declared)
    return one


def data(node: EdgeNode, numbers: range) -> list[tuple[str, bytes]]:
    return [node.data(number % 100) for number in numbers]


def test_a_node_that_is_whole_passes(lake: Lake, at: Settings, deck: Deck) -> None:
    node = EdgeNode()
    send(deck, [*node.birth(), *data(node, range(600)), node.death()])
    again = EdgeNode(bd_seq=1)
    send(deck, [*again.birth(), *data(again, range(10))])
    ingest(lake, stream(), at)
    assert found(lake) == Incomplete(messages=615)
    assert (result(lake, stream()).passed, result(lake, stream()).description) == (True, None)


def test_metrics_without_a_birth_warn_with_the_way_to_their_names(
    lake: Lake, at: Settings, deck: Deck
) -> None:
    node, stranger = EdgeNode(), EdgeNode("stranger")
    send(deck, [*node.birth(), *data(node, range(28)), *data(stranger, range(10))])
    ingest(lake, stream(), at)
    assert found(lake) == Incomplete(40, 10, 10, "reel-0@39")
    said = result(lake, stream())
    assert (said.passed, said.metadata["outcome"].value) == (False, "warned")
    assert said.description == (
        "only a warning: 10 of the newest 40 messages of plant (25.0%) have metrics that no birth names, "
        "reel-0@39 for example; these values are in the lake without a name: 'millrace rebirth plant "
        "<group>/<node>' asks its edge node for the births ('format: {sparkplug: {rebirth: true}}' in "
        "streams.yml does so by itself), and 'millrace replay plant --from-raw' names what follows a birth "
        "that landed late"
    )
    asked = result(lake, stream({"sparkplug": {"rebirth": True}}))
    assert "has been asked for the births and has not sent them: see that the login of" in asked.description


def test_numbers_that_are_left_out_are_counted_across_batches_and_late_ones_taken_back(
    lake: Lake, at: Settings, deck: Deck
) -> None:
    """The counter goes round at 255 while messages are lost; a message that comes twice says nothing."""
    node = EdgeNode()
    sent = [*node.birth(), *data(node, range(300))]
    late, twice = sent.pop(100), sent[50]
    sent.insert(103, late)
    sent.insert(51, twice)
    lost = sent[252:262]
    del sent[252:262]
    send(deck, sent[:255])
    ingest(lake, stream(), at)
    send(deck, sent[255:])
    ingest(lake, stream(), at)
    assert (found(lake).missing, found(lake).senders, found(lake).sender) == (len(lost), 1, "plant/edge/0")
    said = result(lake, stream())
    assert said.description == (
        "only a warning: 10 messages of plant/edge/0 never came, by the 'seq' of the newest 293 of plant: "
        "look at the senders' queue and network, and declare 'sequence' in streams.yml, which names each gap"
    )
    counted = stream(**FIELDS, sequence={"per": ["node", "bd_seq"], "field": "seq", "wraps_at": 255})
    assert "declare 'sequence'" not in result(lake, counted).description


def test_old_batches_do_not_count(lake: Lake, at: Settings, deck: Deck) -> None:
    node, stranger = EdgeNode(), EdgeNode("stranger")
    send(deck, [*data(stranger, range(5))])
    ingest(lake, stream(), at)
    lake.query("update raw.batches set ingested_at = ingested_at - interval '11 minutes'")
    send(deck, [*node.birth(), *data(node, range(3))])
    ingest(lake, stream(), at)
    assert found(lake) == Incomplete(messages=5)


def test_what_a_stream_was_before_it_was_sparkplug_is_counted_as_whole(
    lake: Lake, at: Settings, deck: Deck
) -> None:
    send(deck, [*EdgeNode().birth()])
    ingest(lake, stream("binary"), at)
    assert found(lake) == Incomplete(messages=2)


def test_formats_that_show_nothing_have_no_check() -> None:
    assert incomplete_specs(stream("json")) == []


@pytest.mark.parametrize("fields", [{}, FIELDS], ids=["without fields", "with fields"])
def test_a_run_reports_it_and_status_shows_it(
    lake: Lake, at: Settings, deck: Deck, fields: dict[str, Any], dagster: DagsterInstance
) -> None:
    """It is a warning: the batch counts as checked, and nothing is held back."""
    send(deck, data(EdgeNode("stranger"), range(4)))
    declared = stream(**fields)
    run = materialize(
        [raw_asset(declared)], resources={"lake_session": lake_session(lambda: at)}, instance=dagster
    )
    assert run.success
    (evaluated,) = [each for each in run.get_asset_check_evaluations() if each.check_name == INCOMPLETE_CHECK]
    assert evaluated.asset_key == AssetKey(["raw", "plant"])
    event = {
        "description": evaluated.description,
        "severity": {"__enum__": f"AssetCheckSeverity.{evaluated.severity.name}"},
        "metadata": {},
    }
    text = json.dumps({"dagster_event": {"event_specific_data": event}})
    record = check_record('["raw", "plant"]', INCOMPLETE_CHECK, "FAILED", text, datetime.now(UTC))
    console = Console(width=600, file=StringIO())
    console.print(checks_summary([record]))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "4 of the newest 4 messages of plant (100.0%) have metrics that no birth names" in shown
    assert lake.query("select count(*) from raw.plant") == [(4,)]


@pytest.fixture
def dagster() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as instance:
        yield instance
