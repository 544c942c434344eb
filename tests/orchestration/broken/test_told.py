"""Where a broken model is told: in the web UI as an asset, to the supervisor, in the tags of runs."""

from dagster import AssetKey

from orchestration.keys import LEFT_OUT_TAG
from tests.orchestration.broken.conftest import Plant

LEFTS, STAGED = AssetKey(["marts", "lefts"]), AssetKey(["staging", "stg_left"])


def test_a_broken_model_and_its_followers_stay_assets(plant: Plant) -> None:
    plant.write("models/staging/stg_left.sql", "{{ foo( }}")
    definitions = plant.load()
    graph = definitions.resolve_asset_graph()
    for key in (STAGED, LEFTS):
        node = graph.get(key)
        assert not node.is_materializable
        assert "dbt_project/models/staging/stg_left.sql, line 1: " in (node.description or "")
    assert graph.get(LEFTS).parent_keys == {STAGED}
    assert "It follows from stg_left." in (graph.get(LEFTS).description or "")
    (sentence,) = plant.sentences()
    assert "these are not built: lefts, ops_cast_errors, ops_lateness, stg_left." in sentence


def test_a_model_that_fails_is_left_out_of_the_next_runs_and_a_run_for_its_repair_needs_no_event(
    plant: Plant,
) -> None:
    plant.write("models/marts/lefts.sql", "select no_such_column from {{ ref('stg_left') }}")
    definitions = plant.load()
    plant.send()
    request, success = plant.run(definitions)
    assert (success, LEFTS in (request.asset_selection or ()), LEFT_OUT_TAG in request.tags) == (
        False,
        True,
        False,
    )
    plant.send("right")
    assert plant.sentences() == []
    request, success = plant.run(definitions)
    assert (success, request.tags[LEFT_OUT_TAG]) == (True, "marts/lefts")
    (sentence,) = plant.sentences()
    assert sentence.startswith("Model marts/lefts failed: ")
    assert "models/marts/lefts.sql: " in sentence
    assert "no_such_column" in sentence
    plant.write("models/marts/lefts.sql", "select count(*) as rows_read from {{ ref('stg_left') }}")
    request, success = plant.run(plant.load())
    assert success
    assert plant.sentences() == []
    assert LEFTS in (request.asset_selection or ())
    assert plant.built("lefts") == 1
