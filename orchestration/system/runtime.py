"""runtime.env: the addresses of what a running system has started, for every other process of this folder.

settings.py reads it while the system runs. The catalog's address names a password file; the only secrets in
it are those that a demo has made for its own senders, and only its owner reads it.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from ingestion.errors import ConfigError
from ingestion.settings import RUNTIME_FILE


def write_runtime(data_dir: Path, values: Mapping[str, str]) -> None:
    """Write the file, readable by its owner only.

    Args:
        data_dir: The data folder.
        values: Setting's name, as `catalog`, → value; empty for "not set".
    """
    lines = ["# Written while Millrace runs on this folder, and removed when it stops. Do not edit."]
    lines += [f"{name}={_quoted(name, value)}" for name, value in variables(values).items()]
    path = data_dir / RUNTIME_FILE
    temporary = path.with_suffix(".tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    temporary.replace(path)


def variables(values: Mapping[str, str]) -> dict[str, str]:
    """Settings' names → the environment variables of the same."""
    return {f"MILLRACE_{name.upper()}": value for name, value in values.items()}


def _quoted(name: str, value: str) -> str:
    # python-dotenv takes single-quoted text as it is, up to the quote.
    if "'" in value or "\n" in value:
        raise ConfigError(f"the value of {name} holds a quote or a line break; choose another data folder")
    return f"'{value}'"
