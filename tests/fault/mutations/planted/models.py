"""Lake → model: one writer of a model, and what a catalog's figures are worth."""

from tests.fault.mutations.mutant import Mutant

_MACROS = "orchestration/dbt/package/macros"
_CATALOG = f"{_MACROS}/catalog.sql"
_ASKED = "tests/dbt_project/test_catalog_macros.py"
_TWO = "tests/dbt_project/test_build.py::test_two_runs_at_once_do_not_stage_an_event_twice"

MUTANTS = (
    Mutant(
        "the catalog is believed whatever snapshot it is of",
        f"{_MACROS}/one_writer.sql",
        "{%- set holds = word[0] | int == millrace.own_snapshot() -%}",
        "{%- set holds = true -%}",
        "a model that moved since its SQL was compiled is not written",
        (_TWO,),
    ),
    Mutant(
        "a deleted row's number counts",
        _CATALOG,
        "max(highest) filter (where not is_cut) = max(highest) then",
        "max(highest) = max(highest) then",
        "a watermark is the highest batch that a table has",
        (f"{_ASKED}::test_a_file_with_deletes_is_not_believed",),
    ),
    Mutant(
        "rows without a file are forgotten",
        _CATALOG,
        "            and tables.table_id not in (select table_id from ducklake.ducklake_inlined_data_tables)\n    ) as files",
        "    ) as files",
        "a watermark is the highest batch that a table has, whoever wrote it",
        (f"{_ASKED}::test_rows_that_the_catalog_keeps_itself_are_counted",),
    ),
    Mutant(
        "a repair waits until a run is over",
        "orchestration/run/cycles.py",
        "return edits.unchanged() and repairs.none()",
        "return edits.unchanged()",
        "what a repair has landed reaches the models while events keep coming",
        ("tests/orchestration/test_cycles.py::test_a_run_makes_room_for_what_a_repair_has_landed",),
    ),
)
