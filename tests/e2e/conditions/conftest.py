"""The browser that looks at the web UI."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import there
from tests.servers.browser import Browser


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """Chromium."""
    with there(lambda: Browser(tmp_path / "browser")) as browser:
        yield browser
