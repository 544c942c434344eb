"""A format whose extra is not installed is known all the same, and says what it needs."""

import subprocess
import sys

from ingestion.formats.registry import FORMATS, find_format

EXTRAS = {name: find_format(name) for name in FORMATS if find_format(name).extra}
WITHOUT = """
import importlib.abc, sys
class Without(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name in {names!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Without())
from ingestion.formats.decode import reasons
from ingestion.formats.registry import find_format
for name in {formats!r}:
    assert find_format(name).options.model_fields is not None
print(*sorted(reasons()))
"""


def test_formats_of_missing_extras_are_declared_and_their_reasons_known() -> None:
    names = {library for each in EXTRAS.values() for library in each.libraries}
    assert names
    script = WITHOUT.format(names=names, formats=list(EXTRAS))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {reason for each in EXTRAS.values() for reason in each.reasons} <= set(done.stdout.split())
