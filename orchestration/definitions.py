"""The code location that Dagster loads. How it is put together is in build.py."""

from orchestration.build import build_defs

defs = build_defs()
