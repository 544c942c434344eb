"""The script behind `make platforms` finds the wheels of a platform, and names packages without one."""

import importlib.util
from types import ModuleType

import pytest

from tests.repository import REPOSITORY

ONLY_SOURCE = """docopt==0.6.2 \\
    --hash=sha256:49b3a825280bd66b3aa83585ef59c4a8c82f2c8a522dbe754a8bc8d08c85c491
"""
pytestmark = pytest.mark.slow("the package index is asked about two hundred packages")


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("platforms", REPOSITORY / ".ci" / "platforms.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_locked_package_has_a_wheel_and_one_without_is_named(script: ModuleType) -> None:
    lock = script.LOCK.read_text()
    platform = script.PLATFORMS["Linux arm64"]
    assert script.without_wheels(lock, platform=platform, python="3.13") == []
    assert script.without_wheels(ONLY_SOURCE + lock, platform=platform, python="3.13") == ["docopt==0.6.2"]
