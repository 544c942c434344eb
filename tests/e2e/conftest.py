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
    lines = (REPOSITORY / "requirements.lock").read_text().splitlines()
    pins = [line.removesuffix("\\").strip() for line in lines if line and not line.startswith((" ", "#"))]
    (venv / "pins.txt").write_text("\n".join(pins) + "\n")
    pip = [venv / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*pip, "-c", venv / "pins.txt", wheel], venv)
    return venv / "bin"


def run(argv: list[str | Path], cwd: Path, *, code: int = 0) -> str:
    """Run a program without what would bring this checkout in; returns what it said."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(argv, cwd=cwd, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == code, f"{argv}\n{done.stdout}\n{done.stderr}"
    return done.stdout
