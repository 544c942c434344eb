"""A model of the project's own reads the system's figures: `source('ops', 'metrics')`."""

from datetime import UTC, datetime

from orchestration.assets.exposures import exposure_specs
from orchestration.dbt.lineage import Lineage
from orchestration.dbt.project import parse_models
from orchestration.records.metric_samples import Sample, note_minute
from orchestration.run.metric_history import make_table, take_minutes
from tests.dbt_project.conftest import STREAMS, Warehouse

LAG = "millrace_stream_lag_events"
WORST = f"""
{{{{ config(materialized='view', contract={{'enforced': false}}) }}}}
select labels['stream'] as stream, max(value) as events
from {{{{ source('ops', 'metrics') }}}} where name = '{LAG}' group by all
"""
EXPOSURE = """
exposures:
  - name: board
    type: dashboard
    owner: {name: ada}
    depends_on:
      - source('ops', 'metrics')
"""


def test_a_view_over_it_shows_what_is_noted_after_it_was_built(warehouse: Warehouse) -> None:
    warehouse.write_model("marts/worst_lag.sql", WORST)
    make_table(warehouse.lake)  # as a run does that builds such a model
    make_table(warehouse.lake)
    warehouse.dbt("run", "--select", "worst_lag")
    assert warehouse.rows("marts.worst_lag") == []
    at = datetime(2026, 11, 28, 1, tzinfo=UTC).timestamp()
    note_minute(warehouse.lake.settings.data_dir, [Sample(LAG, {"stream": "orders"}, 7.0)], at=at)
    assert take_minutes(warehouse.lake) == 1
    assert warehouse.rows("marts.worst_lag") == [("orders", 7.0)]


def test_such_a_model_follows_from_every_stream(warehouse: Warehouse) -> None:
    warehouse.write_model("marts/worst_lag.sql", WORST)
    (warehouse.project / "models" / "board.yml").write_text(EXPOSURE)
    parsed = parse_models(warehouse.lake.settings, STREAMS, folder=warehouse.project)
    assert not parsed.broken.models
    lineage = Lineage.of(parsed, [stream.name for stream in STREAMS])
    for followers in lineage.followers.values():
        assert "marts/worst_lag" in {key.to_user_string() for key in followers}
    (board,) = (each for each in exposure_specs(parsed, lineage.keys) if each.key.path[-1] == "board")
    assert not list(board.deps), "it is not a stream's raw table"
