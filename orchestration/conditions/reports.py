"""What a process of the system found out and the supervisor has to know: a file for each reporter.

The definitions report files of the dbt project that are left out, when they are loaded; the sensor reports
streams and models that wait. Everything that a reporter reports replaces what it reported before.
"""

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from ingestion.errors import MillraceError
from ingestion.json_file import write_json
from ingestion.settings import load_settings
from orchestration.conditions.condition import Finding

Reporter = Literal["definitions", "arrivals", "loading"]
_FOLDER = Path("conditions")
_CHECKS = _FOLDER / "checks.json"


def report(data_dir: Path, findings: Iterable[Finding], *, by: Reporter) -> None:
    """Replace what a reporter has found; an unchanged file stays.

    Args:
        data_dir: The data folder.
        findings: All that it finds wrong now.
        by: The reporter.

    Raises:
        StorageError: The file cannot be written.
    """
    # What stands in a file is not measured: no times.
    found = [{word: said for word, said in asdict(each).items() if word != "times"} for each in findings]
    if found != _read(_file(data_dir, by)):
        write_json(_file(data_dir, by), found)


def reported(data_dir: Path, *, by: Reporter) -> tuple[Finding, ...] | None:
    """What a reporter found last; None when it has reported nothing yet."""
    found = _read(_file(data_dir, by))
    try:
        return None if found is None else tuple(Finding(**each) for each in found)
    except (TypeError, ValueError):
        return None  # of another release


def report_load(error: str) -> None:
    """Say whether the definitions loaded in this process, if it knows its data folder.

    Args:
        error: Why they did not; empty when they did.
    """
    with suppress(MillraceError):  # without settings or with a full disk, others say so
        findings = [
            Finding(
                "code_not_loaded", "definitions", f"Dagster's definitions do not load: {error}",
                "Nothing runs by itself until they do; they are loaded again after an edit.",
            )
        ]  # fmt: skip
        report(load_settings().data_dir, findings if error else [], by="loading")


def report_checks(data_dir: Path, checks: Iterable[tuple[str, str]]) -> None:
    """Say which asset checks there are.

    Args:
        data_dir: The data folder.
        checks: Asset and name.

    Raises:
        StorageError: The file cannot be written.
    """
    write_json(data_dir / _CHECKS, sorted(checks))


def known_checks(data_dir: Path) -> frozenset[tuple[str, str]] | None:
    """The asset checks that there are, as asset and name; None when nobody has said so yet."""
    try:
        return frozenset((asset, name) for asset, name in json.loads((data_dir / _CHECKS).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _file(data_dir: Path, by: Reporter) -> Path:
    return data_dir / _FOLDER / f"{by}.json"


def _read(file: Path) -> list[dict[str, Any]] | None:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, list) else None
