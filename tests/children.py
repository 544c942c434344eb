"""A process of its own that runs a few lines of Python in the project."""

import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[1]


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Start it; what it prints can be read."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True)
