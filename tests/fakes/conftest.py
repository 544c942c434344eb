"""Every test of the fakes has them registered, and decks and houses of its own."""

from collections.abc import Iterator

import pytest

from ingestion.settings import Settings
from tests.fakes import pigeon, tape
from tests.fakes.registered import fakes


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    with fakes():
        yield


@pytest.fixture
def deck(tmp_path: object) -> tape.Deck:
    return tape.DECKS[str(tmp_path)]


@pytest.fixture
def house(tmp_path: object) -> pigeon.House:
    return pigeon.HOUSES[str(tmp_path)]


@pytest.fixture
def at(settings: Settings, tmp_path: object) -> Settings:
    """Settings that reach the test's deck and house."""
    return settings.replaced(tape_deck=str(tmp_path), pigeon_house=str(tmp_path))
