"""`doctor` names columns whose numbers the lake rounds: shown on what it really keeps of them."""

from ingestion.lake.lake import Lake
from orchestration.cli.examine_columns import wide_integers

BEYOND = 2**53 + 1


def test_a_sum_that_is_kept_as_a_double_is_named_and_a_cast_one_is_not(lake: Lake) -> None:
    lake.prepare(["s"])
    assert [*wide_integers(lake)] == []
    lake.connection.execute("create schema lake.marts")
    total = f"select sum(n) as total from (select {BEYOND}::bigint as n)"
    for name, sql in {
        "summed": total,
        "cast": f"select total::bigint as total from ({total})",
        "decimal": f"select total::decimal(38, 0) as total from ({total})",
    }.items():
        lake.connection.execute(f'create table lake.marts."{name}" as {sql}')
    kept = [int(lake.query(f'select total from lake.marts."{name}"')[0][0]) for name in ("cast", "decimal")]
    assert kept == [BEYOND, BEYOND]
    ((rounded,),) = lake.query("select total from lake.marts.summed")
    assert int(rounded) != BEYOND, "the lake keeps such numbers whole now: this finding can go"
    (finding,) = wide_integers(lake)
    assert (finding.part, finding.state) == ("values", "note")
    assert finding.message.startswith("marts.summed.total: hugeint")
    lake.connection.execute("drop table lake.marts.summed")
    assert [*wide_integers(lake)] == []
