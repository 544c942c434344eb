"""`millrace upgrade-project`: a project of an earlier release gets what this one writes; edits stay."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from orchestration.cli.app import run
from orchestration.scaffold import upgrade
from orchestration.scaffold.new import create_project, ours
from tests.repository import REPOSITORY

MACROS = "dbt_project/macros/millrace.sql"
PACKAGES = "dbt_project/packages.yml"
NEW_MACRO = "{% macro staging() %}"
EARLIER = {
    MACROS: "".join(line for line in ours()[MACROS].open() if not line.startswith(NEW_MACRO)),
    PACKAGES: "packages:\n  - local: .millrace_package\n",
    ".gitignore": "".join(ours()[".gitignore"].open().readlines()[:-1]),
}
"""What an earlier release wrote, where it was something else."""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that this release has just written, and the current folder."""
    create_project(tmp_path / "shop", example="shop")
    monkeypatch.chdir(tmp_path / "shop")
    return tmp_path / "shop"


@pytest.fixture
def earlier(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, written by an earlier release."""
    for path, text in EARLIER.items():
        file = tmp_path / "written" / "0.0.9" / upgrade.stored_name(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        (project / path).write_text(text)
    monkeypatch.setattr(upgrade, "WRITTEN", tmp_path / "written")
    return project


def files(project: Path) -> dict[str, str]:
    """What is versioned in a project."""
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
    )
    return {name: (project / name).read_text() for name in listed.stdout.split()}


@pytest.mark.parametrize("example", ["plant", "shop", "none"])
def test_a_project_of_this_release_needs_nothing(
    tmp_path: Path, example: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    create_project(tmp_path / "new", example=example)
    monkeypatch.chdir(tmp_path / "new")
    before = files(tmp_path / "new")
    for arguments in (["upgrade-project", "--dry-run"], ["upgrade-project"]):
        assert run(arguments) == 0
        assert capsys.readouterr().out.startswith("nothing to do")
    assert files(tmp_path / "new") == before


def test_what_an_earlier_release_wrote_is_replaced(earlier: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(earlier)
    assert run(["upgrade-project", "--dry-run"]) == 1
    said = capsys.readouterr().out
    assert f"would replace {MACROS}" in said
    assert f"+{NEW_MACRO}" in said
    assert files(earlier) == before
    assert run(["upgrade-project"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"replaced {path}" for path in (PACKAGES, MACROS, ".gitignore")
    ]
    for path in EARLIER:
        assert (earlier / path).read_bytes() == ours()[path].read_bytes()
    assert {name for name, text in files(earlier).items() if before.get(name) != text} == set(EARLIER)
    assert run(["upgrade-project"]) == 0
    assert capsys.readouterr().out.startswith("nothing to do")


def test_what_the_user_edited_is_left_with_the_difference(
    earlier: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = EARLIER[MACROS] + "{% macro mine() %}1{% endmacro %}\n"
    (earlier / MACROS).write_text(own)
    (earlier / ".gitignore").write_text(EARLIER[".gitignore"] + "mine/\n")
    assert run(["upgrade-project"]) == 1
    said = capsys.readouterr()
    assert f"{earlier / MACROS} was edited and is left as it is" in said.err
    assert f"+{NEW_MACRO}" in said.out
    assert "mine()" not in said.out  # the difference is the release's
    assert (earlier / MACROS).read_text() == own
    assert "added lines to .gitignore" in said.out
    lines = (earlier / ".gitignore").read_text().splitlines()
    assert "mine/" in lines
    assert set(lines) == {"mine/", *ours()[".gitignore"].read_text().splitlines()}
    (earlier / MACROS).write_text(own + next(line for line in ours()[MACROS].open() if NEW_MACRO in line))
    assert run(["upgrade-project"]) == 0  # brought in by hand
    assert capsys.readouterr().out.startswith("nothing to do")


def test_edits_of_a_file_that_no_release_changed_need_nothing(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profiles = project / "dbt_project" / "profiles.yml"
    profiles.write_text(profiles.read_text().replace("threads: 1", "threads: 2"))
    (project / "workspace.yaml").unlink()
    assert run(["upgrade-project"]) == 0
    assert capsys.readouterr().out == "wrote workspace.yaml\n"
    assert "threads: 2" in profiles.read_text()


def test_plain_dbt_finds_the_package_afterwards(project: Path) -> None:
    shutil.rmtree(project / "dbt_project" / "dbt_packages")
    assert run(["upgrade-project"]) == 0
    assert (project / "dbt_project" / "dbt_packages" / "millrace" / "dbt_project.yml").is_file()


def test_every_release_has_left_the_texts_that_it_wrote() -> None:
    """MILLRACE_FREEZE=1 writes those of the newest release, before anything changes after it."""
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", (REPOSITORY / "CHANGELOG.md").read_text(), re.MULTILINE)
    if os.environ.get("MILLRACE_FREEZE") and released:
        for path, source in ours().items():
            place = upgrade.WRITTEN / released[0] / upgrade.stored_name(path)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, place)
    for release in released:
        folder = upgrade.WRITTEN / release
        stored = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        assert stored == {upgrade.stored_name(path) for path in ours()}, (
            f"run this with MILLRACE_FREEZE=1: {release}"
        )
