"""The proof itself: each kind of loss and double in the ledger is found."""

from tests.fault.mutations.mutant import Mutant

_LEDGER = "ingestion/lake/ledger.py"
_FOUND = (
    "tests/ingestion/test_proof.py",
    "tests/ingestion/test_rejects.py::test_the_proof_finds_a_retry_that_does_not_add_up",
)

MUTANTS = (
    Mutant(
        "gaps are not seen",
        _LEDGER,
        "    when joins_at > previous_end then\n",
        "    when false then\n",
        "windows join without a gap",
        _FOUND,
    ),
    Mutant(
        "overlaps are not seen",
        _LEDGER,
        "    when joins_at < previous_end then\n",
        "    when false then\n",
        "windows join without an overlap",
        _FOUND,
    ),
    Mutant(
        "rows that are missing are not seen",
        _LEDGER,
        "    coalesce(ledger.landed, 0) <> coalesce(landed.rows_found, 0)\n    or ",
        "    ",
        "landed = rows that are there",
        _FOUND,
    ),
    Mutant(
        "rejects that are missing are not seen",
        _LEDGER,
        "    or coalesce(ledger.rejected, 0) <> coalesce(rejected.rows_found, 0)\n",
        "",
        "rejected = rejects that are there",
        _FOUND,
    ),
    Mutant(
        "rows of a batch that the ledger does not know are not seen",
        _LEDGER,
        "full join landed on ledger.batch_id = landed.batch_id\n",
        "left join landed on ledger.batch_id = landed.batch_id\n",
        "rows without a batch are a defect",
        _FOUND,
    ),
    Mutant(
        "read, landed and rejected need not add up",
        _LEDGER,
        "    when events_read <> events_landed + events_rejected then\n",
        "    when false then\n",
        "read = landed + rejected",
        _FOUND,
    ),
    Mutant(
        "a retry need not add up",
        _LEDGER,
        "(start_position < end_position or retried <> events_read) then",
        "false then",
        "a repair lands what its resolutions name",
        _FOUND,
    ),
)
