"""kill -9 between a birth and the data that it names: decoded as if nobody had been killed."""

import json
import random
from contextlib import closing

import pyarrow as pa
import pytest

from ingestion.clock import utc_now
from ingestion.declare.stream import Stream
from ingestion.formats.decode import decoder
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import prove, read_format_states
from ingestion.land.redecode import redecode
from ingestion.log.envelope import SOURCE_SCHEMA
from ingestion.settings import Settings
from ingestion.spool.writer import SpoolEvent, SpoolWriter
from tests.fault.conftest import Tally
from tests.fault.orders import Worker, order_for
from tests.fault.seeds import KILLS, SEED
from tests.fault.test_kills import PLACES
from tests.formats.edge_node import EdgeNode

STREAM = Stream.model_validate({"name": "plant", "source": {"mqtt": "spBv1.0/#"}, "format": "sparkplug"})
NODES = 3
LIVES = 4
BATCH_EVENTS = 4
PARTITION = "plant-collector"


def lives(dice: random.Random) -> list[tuple[str, bytes]]:
    """What several nodes send over their lives; each birth may exchange the aliases of the one before."""
    sent: list[tuple[str, bytes]] = []
    for life in range(LIVES):
        for number in dice.sample(range(NODES), NODES):
            node = EdgeNode(f"edge{number}", bd_seq=life, aliases=dice.choice([(1, 2), (2, 1)]))
            births = list(node.birth())
            sent += births[: dice.choice([1, 2, 2])] if dice.random() < 0.9 else []
            sent += [node.data(life) if dice.random() < 0.5 else node.measured(life) for _ in range(5)]
            sent += [node.death()] if dice.random() < 0.3 else []
    return sent


def texts(sent: list[tuple[str, bytes]]) -> list[str]:
    """All of it in one batch."""
    rows = [
        {
            "source_partition": PARTITION, "position": at, "event_key": topic.encode(), "value": value,
            "headers": None, "event_time": None,
        }
        for at, (topic, value) in enumerate(sent)
    ]  # fmt: skip
    table = pa.Table.from_pylist(rows, schema=SOURCE_SCHEMA)
    decoded = decoder("sparkplug")(
        table, stream="plant", batch_id=1, ingested_at=utc_now(), max_bytes=1 << 20
    )
    found: list[str] = decoded.events["payload"].to_pylist()
    return found


@pytest.mark.slow("kills and starts of processes")
def test_a_kill_between_a_birth_and_its_data_changes_no_name(
    lake: Lake, settings: Settings, worker: Worker, tally: Tally
) -> None:
    dice = random.Random(SEED)
    sent = lives(dice)
    with closing(SpoolWriter(settings.data_dir / "spool" / "plant")) as writer:
        for at, (topic, value) in enumerate(sent):
            writer.append([SpoolEvent(topic.encode(), value, None, 1_700_000_000_000_000 + at)])
        writer.commit()
    lake.prepare(["plant"])
    order, count = order_for(STREAM, settings, batch_max_events=BATCH_EVENTS), tally.places["sparkplug"]
    for place in [*PLACES] * max(KILLS // 2, 1):
        count.kills += worker.run(**order, place=place, passes=dice.randint(1, 3)) == -9
    assert worker.run(**order) == 0
    count.events += len(sent)
    held = [text for (text,) in lake.query("select payload from raw.plant order by position")]
    assert held == texts(sent)
    unresolved = [json.loads(text)["unresolved"] for text in held]
    assert 0 < sum(unresolved) < len(sent), "some births were never sent"
    assert not prove(lake, "plant").defects
    states = read_format_states(lake, "plant")
    assert redecode(lake, "plant", decode=decoder("sparkplug")).changed == 0
    assert read_format_states(lake, "plant") == states
