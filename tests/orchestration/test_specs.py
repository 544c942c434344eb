"""dagster-dbt's specs of the project: a process that starts reads what an earlier one kept of them."""

import pickle
from pathlib import Path

import pytest

from orchestration.dbt import specs as kept
from orchestration.dbt.project import FULL_SCAN_TAG, ParsedModels
from orchestration.dbt.specs import UNIQUE_ID, DbtSpecs, dbt_specs

pytestmark = pytest.mark.xdist_group("parsed_plant")


def in_a_folder(parsed: ParsedModels, folder: Path | None) -> ParsedModels:
    return ParsedModels(parsed.project, parsed.manifest, parsed.text, parsed.broken, folder)


def shown(specs: DbtSpecs) -> tuple[object, object]:
    return {spec.key: spec for spec in specs.assets}, {spec.key: spec for spec in specs.checks}


@pytest.mark.parametrize("tag", ["", FULL_SCAN_TAG])
def test_what_was_kept_is_what_dagster_dbt_makes(
    parsed_plant: ParsedModels, tmp_path: Path, tag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = dbt_specs(in_a_folder(parsed_plant, None), without_tag=tag)
    assert {spec.metadata[UNIQUE_ID] for spec in made.assets} > {"model.plant.order_progress"}
    assert made.checks
    first = dbt_specs(in_a_folder(parsed_plant, tmp_path), without_tag=tag)
    monkeypatch.setattr(kept, "_made", None)  # whoever made them again would fail
    again = dbt_specs(in_a_folder(parsed_plant, tmp_path), without_tag=tag)
    assert shown(made) == shown(first) == shown(again)


@pytest.mark.parametrize("harm", [b"", b"\x80cut off", pickle.dumps({"another": "thing"})])
def test_what_cannot_be_read_is_made_again(parsed_plant: ParsedModels, tmp_path: Path, harm: bytes) -> None:
    parsed = in_a_folder(parsed_plant, tmp_path)
    made = dbt_specs(parsed)
    (path,) = tmp_path.iterdir()
    path.write_bytes(harm)
    assert shown(dbt_specs(parsed)) == shown(made)
    assert isinstance(pickle.loads(path.read_bytes()), DbtSpecs)


def test_a_folder_that_is_gone_ends_nothing(parsed_plant: ParsedModels, tmp_path: Path) -> None:
    assert dbt_specs(in_a_folder(parsed_plant, tmp_path / "gone")).assets


def test_a_test_with_the_tag_is_left_out_with_it(parsed_plant: ParsedModels) -> None:
    whole, part = dbt_specs(parsed_plant), dbt_specs(parsed_plant, without_tag=FULL_SCAN_TAG)
    left_out = {spec.name for spec in whole.checks} - {spec.name for spec in part.checks}
    assert "unique_order_progress_order_id" in left_out
    assert {spec.key for spec in part.assets} == {spec.key for spec in whole.assets}
