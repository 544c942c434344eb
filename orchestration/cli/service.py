"""`millrace service`: prints what runs or watches Millrace as a service, from orchestration/deploy."""

from importlib.resources import files

from ingestion.errors import ConfigError
from orchestration.cli.context import Globals
from orchestration.deploy.unit import systemd_unit

_FILES = {
    "containerfile": "Containerfile",
    "compose": "compose.yml",
    "prometheus-rules": "prometheus-rules.yml",
    "grafana": "grafana-dashboard.json",
}


def service(options: Globals, chosen: list[str], *, user: str | None) -> str:
    """The text of one file.

    Args:
        options: The global options; only the unit needs a project.
        chosen: What was asked for: systemd or one of _FILES.
        user: The unit's account; None for the owner of the project's folder.

    Raises:
        ConfigError: Not one file was asked for, or the unit cannot be written.
    """
    if len(chosen) != 1:
        named = ", ".join(f"--{name}" for name in ("systemd", *_FILES))
        raise ConfigError(f"name one of {named}: each prints one file")
    (name,) = chosen
    if name != "systemd":
        return files("orchestration.deploy").joinpath(_FILES[name]).read_text(encoding="utf-8")
    return systemd_unit(options.settings(), user=user)
