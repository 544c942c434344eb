"""The fakes among the registered kinds and formats, for one test or one process."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from ingestion.connectors import registry as connectors
from ingestion.formats import registry as formats

CONNECTORS = {"tape": "tests.fakes.tape:TAPE", "pigeon": "tests.fakes.pigeon:PIGEON"}
FORMATS = {"rot13": "tests.fakes.rot13:ROT13"}


@contextmanager
def fakes() -> Iterator[None]:
    """One registry line each, and nothing else, makes them known."""
    with patch.dict(connectors.CONNECTORS, CONNECTORS), patch.dict(formats.FORMATS, FORMATS):
        yield
