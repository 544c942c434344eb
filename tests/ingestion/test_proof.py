"""The proof of the ledger: each way in which it may not add up is a defect of its own, in words."""

from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import prove
from ingestion.settings import Settings
from ingestion.spool.writer import SpoolEvent, SpoolWriter
from tests.ingestion.helpers import ingest

STREAM = Stream.model_validate({"name": "plant", "source": {"mqtt": "plant/#"}})
OF_THE_SECOND = "where stream = 'plant' and batch_id = 2"

# Three batches of ten events each; the last event of each is a reject.
DAMAGES = {
    f"update raw.batches set start_position = 12 {OF_THE_SECOND}": {"positions 10 to 12 are missing (gap)"},
    f"update raw.batches set positions_skipped = 3, start_position = 11 {OF_THE_SECOND}": {
        "positions 8 to 10 were read twice (overlap)"
    },
    f"delete from raw.batches {OF_THE_SECOND}": {
        "positions 10 to 20 are missing (gap)",
        "the ledger says 0 landed and 0 rejected, the tables hold 9 and 1",
    },
    f"update raw.batches set events_read = 9 {OF_THE_SECOND}": {
        "read 9 events but landed 9 and rejected 1",
    },
    f"update raw.batches set events_read = 11, events_landed = 10 {OF_THE_SECOND}": {
        "read 11 events in a window of 10",
        "the ledger says 10 landed and 1 rejected, the tables hold 9 and 1",
    },
    "delete from raw.plant where position = 14": {
        "the ledger says 9 landed and 1 rejected, the tables hold 8 and 1"
    },
    "insert into raw.plant select * from raw.plant where position = 14": {
        "the ledger says 9 landed and 1 rejected, the tables hold 10 and 1"
    },
    f"delete from raw.rejects {OF_THE_SECOND}": {
        "the ledger says 9 landed and 1 rejected, the tables hold 9 and 0"
    },
    "update raw.plant set batch_id = 7 where batch_id = 2": {
        "the ledger says 9 landed and 1 rejected, the tables hold 0 and 1",
        "the ledger says 0 landed and 0 rejected, the tables hold 9 and 0",
    },
    "update raw.rejects set batch_id = 7 where batch_id = 2": {
        "the ledger says 9 landed and 1 rejected, the tables hold 9 and 0",
        "the ledger says 0 landed and 0 rejected, the tables hold 0 and 1",
    },
}


def test_each_way_not_to_add_up_is_a_defect(lake: Lake, settings: Settings) -> None:
    writer = SpoolWriter(settings.data_dir / "spool" / "plant")
    for _ in range(3):
        writer.append(SpoolEvent(b"plant/a", value, None, 0) for value in [b"1"] * 9 + [b"{"])
        writer.commit()
        ingest(lake, STREAM, settings)
    writer.close()
    assert prove(lake, "plant").defects == ()
    for damage, messages in DAMAGES.items():
        lake.connection.execute("begin")
        try:
            lake.connection.execute(damage)
            assert {defect.message for defect in prove(lake, "plant").defects} == messages, damage
            assert {defect.message for defect in prove(lake, "plant", since_batch=1).defects} == messages, (
                damage
            )
            if "7" not in damage:
                assert prove(lake, "plant", since_batch=3).defects == (), damage
        finally:
            lake.connection.execute("rollback")
    assert prove(lake, "plant").defects == ()
