"""The wheel, and an environment that holds it: made once for the tests that begin with it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.repository import REPOSITORY


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel."""
    folder = tmp_path_factory.mktemp("dist")
    run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], REPOSITORY)
    (file,) = folder.glob("*.whl")
    return file


@pytest.fixture(scope="session")
def bin_dir(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the wheel and the locked requirements."""
    venv = tmp_path_factory.mktemp("venv")
    run([sys.executable, "-m", "venv", venv], venv)
    # As the Containerfile does: what the lock in the wheel pins is installed only if its hash is right.
    run([sys.executable, "-m", "zipfile", "-e", wheel, venv / "content"], venv)
    lock = venv / "content" / "orchestration" / "deploy" / "requirements.lock"
    assert lock.read_bytes() == (REPOSITORY / "requirements.lock").read_bytes()
    uv = [Path(sys.executable).with_name("uv"), "pip", "install", "--quiet"]
    run([*uv, "--python", venv / "bin" / "python", "--constraint", lock, wheel], venv)
    return venv / "bin"


def run(argv: list[str | Path], cwd: Path, *, code: int = 0) -> str:
    """Run a program without what would bring this checkout in; returns what it said."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(argv, cwd=cwd, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == code, f"{argv}\n{done.stdout}\n{done.stderr}"
    return done.stdout
