"""The folder of this repository, which is also the plant's project."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
