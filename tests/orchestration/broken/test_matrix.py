"""Six ways to break a dbt project: events land, and what does not depend on the broken part is built."""

from dataclasses import dataclass

import pytest

from tests.orchestration.broken.conftest import MODELS, Plant


@dataclass(frozen=True)
class Way:
    """A way to break the project.

    Attributes:
        file: What is written.
        text: The text.
        told: A part of the sentence that tells it; empty when only a run can find it.
        lefts: Whether the mart `lefts` is built nevertheless.
        rights: Whether its neighbour is.
    """

    file: str
    text: str
    told: str
    lefts: bool = False
    rights: bool = True


LEFTS = "models/marts/lefts.sql"
WAYS = {
    "SQL": Way(LEFTS, "select no_such_column from {{ ref('stg_left') }}", ""),
    "Jinja": Way(LEFTS, "select {{ 1 + }}", "models/marts/lefts.sql, line 1: "),
    "reference": Way(LEFTS, "select * from {{ source('raw', 'renamed') }}", "named 'raw.renamed'"),
    "YAML": Way("models/marts/lefts.yml", "models: [{name: lefts", "models/marts/lefts.yml, line "),
    "macro": Way("macros/bad.sql", "{% macro bad( %}", "macros/bad.sql, line 1: ", rights=False),
    "contract": Way(
        "contracts/gone.yml", MODELS["contracts/rights.yml"], "'gone', which is not a model", lefts=True
    ),
}
every_way = pytest.mark.parametrize(
    "way",
    [
        # test_told.py has one that is found by parsing, and one that is found by running
        pytest.param(way, id=name, marks=pytest.mark.slow("another way to break the same project"))
        for name, way in WAYS.items()
    ],
)


class Seen:
    """What each mart has to have read."""

    def __init__(self, plant: Plant, way: Way) -> None:
        self.plant, self.way = plant, way
        self.sent, self.lefts, self.rights = 0, 0, 0

    def broken_run(self, *, fails: bool) -> None:
        """A run for an event on each stream, in which the broken part is not built."""
        plant, way = self.plant, self.way
        plant.send()
        self.sent += 1
        definitions = plant.load()
        if way.told:
            (sentence,) = plant.sentences()
            assert way.told in sentence
        request, success = plant.run(definitions)
        assert success is not fails
        assert {"left", "right"} <= {key.path[-1] for key in request.asset_selection or ()}
        assert not plant.schedule.pauses
        self.lefts = self.sent if way.lefts else self.lefts
        self.rights = self.sent if way.rights else self.rights
        self.check()

    def repaired_run(self) -> None:
        """What was left out is built at once, without a new event."""
        definitions = self.plant.load()
        if self.lefts < self.sent:
            assert self.plant.run(definitions)[1]
        assert self.plant.sentences() == []
        self.lefts = self.rights = self.sent
        self.check()

    def check(self) -> None:
        """Compare with the lake."""
        assert self.plant.landed() == {"left": self.sent, "right": self.sent}
        assert (self.plant.built("lefts"), self.plant.built("rights")) == (self.lefts, self.rights)


@pytest.mark.early
@every_way
def test_broken_before_the_system_starts(plant: Plant, way: Way) -> None:
    plant.replace(way.file, way.text)
    seen = Seen(plant, way)
    seen.broken_run(fails=not way.told)
    seen.broken_run(fails=False)  # a model that failed waits
    plant.put_back(way.file)
    seen.repaired_run()


@pytest.mark.slow("six ways, three parses and three runs each: with the cold half, more than a minute")
@every_way
def test_broken_by_an_edit_while_the_system_runs(plant: Plant, way: Way) -> None:
    plant.load()
    seen = Seen(plant, way)
    plant.replace(way.file, way.text)
    seen.broken_run(fails=not way.told)  # the first of all runs
    plant.put_back(way.file)
    seen.repaired_run()
    plant.replace(way.file, way.text)
    seen.broken_run(fails=not way.told)  # a later one
