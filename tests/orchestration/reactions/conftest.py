"""Couriers that look often, and secrets in the environment."""

import base64

import pytest

from orchestration.observe import courier

SECRET = base64.b64encode(bytes(range(32))).decode()


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "_LOOK_SECONDS", 0.02)
    monkeypatch.setattr(courier, "_FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(courier, "_LONGEST_PAUSE_SECONDS", 0.2)


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The key of PAGER_SECRET."""
    monkeypatch.setenv("PAGER_SECRET", f"whsec_{SECRET}")
    return base64.b64decode(SECRET)
