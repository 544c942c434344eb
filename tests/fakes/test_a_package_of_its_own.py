"""The kind of docs/extending.md as it stands there: installed as a package, it lands events like others."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ingestion.lake.lake import Lake
from ingestion.settings import load_settings
from tests.repository import REPOSITORY

_BLOCK = re.compile(r"^```(python|toml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MOST_LINES = 45
"""Imports aside: the page says some forty."""
PROGRAM = """
import sys
from pathlib import Path
from orchestration.cli.app import run

file = Path(sys.argv[1])
codes = [run(["peek", f"lines:{file}", "--from", "earliest", "--json"]), run(["ingest", "--json"])]
with file.open("a") as more:
    more.write('{"n": 3}\\n{"n": 4')
codes += [run(["ingest", "--json"]), run(["ingest", "--json"])]
file.write_text('{"n": 9}\\n' * 4)
codes += [run(["ingest"])]
sys.exit(codes != [0, 0, 0, 0, 1])
"""


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    page = (REPOSITORY / "docs" / "extending.md").read_text(encoding="utf-8")
    return {language: text for language, text in _BLOCK.findall(page)}


def test_the_text_of_the_page_is_short(texts: dict[str, str]) -> None:
    code = [
        line for line in texts["python"].splitlines() if line and not line.startswith(("from ", "import "))
    ]
    assert len(code) <= _MOST_LINES


def test_what_the_page_shows_is_installed_and_lands_events(
    texts: dict[str, str], tmp_path: Path, new_database: Callable[[], str]
) -> None:
    package, site, project = tmp_path / "package", tmp_path / "site", tmp_path / "project"
    package.mkdir()
    package.joinpath("millrace_lines.py").write_text(texts["python"])
    package.joinpath("pyproject.toml").write_text(texts["toml"])
    offline = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    pip = [sys.executable, "-m", "pip", "install", *offline, "--target", str(site), str(package)]
    installed = subprocess.run(pip, capture_output=True, text=True)
    assert installed.returncode == 0, installed.stderr
    file = tmp_path / "clicks.ndjson"
    file.write_text('{"n": 1}\n{\n')
    project.mkdir()
    project.joinpath("streams.yml").write_text(f"clicks: {{source: {{lines: {file}}}}}\n")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MILLRACE_")}
    ours = {
        "PYTHONPATH": f"{site}{os.pathsep}{REPOSITORY}",
        "MILLRACE_PROJECT": str(project),
        "MILLRACE_CATALOG": new_database(),
        "MILLRACE_ENV_FILE": str(tmp_path / "none.env"),
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(file)],
        cwd=project, env=kept | ours, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout, done.stderr)
    first, second, *batches = [json.loads(line) for line in done.stdout.splitlines()]
    assert (first["payload"], second["refused"]["reason"]) == ({"n": 1}, "not_json")
    counts = [(batch["events_landed"], batch["events_rejected"]) for batch in batches]
    assert counts == [(1, 1), (1, 0), (0, 0)]  # a line without its end is not an event yet
    assert "clicks-0 is not the file that was read up to line 3: put it back" in done.stderr
    settings = load_settings(data_dir=project / ".millrace", catalog=ours["MILLRACE_CATALOG"])
    with Lake(settings, read_only=True) as lake:
        rows = lake.query("select event_id, payload from raw.clicks order by position")
    assert rows == [("clicks-0@0", '{"n": 1}'), ("clicks-0@2", '{"n": 3}')]
