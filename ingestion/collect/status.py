"""Where a collector keeps its files, and what it last reported about itself."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ingestion.collect.members import Member
from ingestion.connectors.port import CollectingConnector


def state_folder(data_dir: Path, connector: CollectingConnector, number: int = 0) -> Path:
    """The folder of a kind's collector: its lock, its status and what its listener remembers."""
    return data_dir / Member(connector, number).name


def status_file(data_dir: Path, connector: CollectingConnector, number: int = 0) -> Path:
    """Where a running collector writes its status, once a second."""
    return state_folder(data_dir, connector, number) / "status.json"


def read_status(data_dir: Path, connector: CollectingConnector, number: int = 0) -> Mapping[str, Any]:
    """What the collector last reported; empty before its first start, or while it is just starting."""
    try:
        found = json.loads(status_file(data_dir, connector, number).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
