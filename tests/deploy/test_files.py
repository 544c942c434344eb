"""The files that `millrace service` prints: systemd, Compose and a container's builder understand them."""

import configparser
import os
import pwd
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ingestion.connectors.registry import connectors
from ingestion.errors import ConfigError
from ingestion.settings import Settings, load_settings
from orchestration.deploy.unit import systemd_unit
from orchestration.scaffold.new import create_project
from orchestration.system.lock import STOP_SECONDS
from tests.repository import REPOSITORY
from tests.servers import ServerMissing
from tests.servers.apache_kafka import KAFKA_VERSION
from tests.servers.mosquitto import Mosquitto

FILES = REPOSITORY / "orchestration" / "deploy"
BIN = Path(sysconfig.get_path("scripts"))
USER = "daemon" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


@pytest.fixture
def project() -> Iterator[Path]:
    """A project of a user's, in a folder whose name needs care in a unit, and short enough for a socket."""
    place = Path(tempfile.mkdtemp(prefix="m-"))
    folder = place / "my $shop, 100% new"
    create_project(folder, example="none")
    if os.geteuid() == 0:
        for path in (folder, *folder.rglob("*")):
            shutil.chown(path, USER)
    yield folder
    shutil.rmtree(place)


def unit_of(project: Path, **settings: object) -> tuple[str, configparser.SectionProxy]:
    text = systemd_unit(load_settings(project=project, **settings), user=None)
    parser = configparser.ConfigParser(interpolation=None, comment_prefixes="#")
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(text)
    return text, parser["Service"]


def test_the_unit_runs_this_project_with_this_environment(project: Path) -> None:
    _, service = unit_of(project)
    doubled = str(project).replace("%", "%%")
    assert service["User"] == USER
    assert service["WorkingDirectory"] == doubled
    assert service["Environment"] == (f'"MILLRACE_PROJECT={doubled}" "MILLRACE_DATA_DIR={doubled}/.millrace"')
    assert service["ExecStart"] == f"{BIN}/millrace up"
    assert service["ReadWritePaths"] == f'"{doubled}/dbt_project" "{doubled}/.millrace"'
    assert service["TimeoutStopSec"] == f"{STOP_SECONDS:.0f}"
    assert (service["Type"], service["KillMode"], service["PrivateTmp"]) == ("notify", "mixed", "yes")
    made = project / ".millrace"
    assert made.stat().st_uid == pwd.getpwnam(USER).pw_uid
    assert made.stat().st_mode & 0o777 == 0o700


def test_what_lies_elsewhere_can_be_written_too(project: Path, tmp_path: Path) -> None:
    _, service = unit_of(project, lake_path=str(tmp_path / "parquet"))
    assert str(tmp_path / "parquet") in service["ReadWritePaths"]
    far = tmp_path / ("long" * 20) / "data"
    _, service = unit_of(project, data_dir=far)
    assert service["PrivateTmp"] == "no", "commands look for PostgreSQL's socket in the temp folder"
    _, service = unit_of(project, data_dir=far, catalog="postgresql://me@server/lake")
    assert service["PrivateTmp"] == "yes"


@pytest.mark.parametrize(("user", "sentence"), [("root", "not need root"), ("no-such-user", "there is no")])
def test_a_wrong_user_is_refused(project: Path, user: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        systemd_unit(load_settings(project=project), user=user)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_somebody_else_s_folder_is_refused(project: Path) -> None:
    shutil.chown(project / "dbt_project", "root")
    with pytest.raises(ConfigError, match=f"does not belong to '{USER}'"):
        systemd_unit(load_settings(project=project), user=None)


def test_systemd_understands_the_unit(project: Path, tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        if os.environ.get("CI") and sys.platform == "linux":
            raise ServerMissing("install systemd")
        pytest.skip("systemd is not installed")
    file = tmp_path / "millrace-shop.service"
    file.write_text(unit_of(project)[0])
    # What it does not understand is a warning, and the exit code stays 0.
    done = subprocess.run([program, "verify", file], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    done = subprocess.run(
        [program, "security", "--offline=true", "--no-pager", "--threshold=25", file],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, f"it is exposed to more than 2.5 of 10\n{done.stdout}"


def test_the_containerfile_is_clean_and_of_this_version() -> None:
    file = FILES / "Containerfile"
    done = subprocess.run([BIN / "hadolint", file], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout
    text = file.read_text()
    uv = re.search(r"^UV_VERSION := (\S+)$", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    assert uv is not None
    assert f"uv=={uv[1]}" in text
    assert known_variables(re.findall(r"(MILLRACE_\w+)=", text))


@pytest.fixture
def compose() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((FILES / "compose.yml").read_text())
    return content


def test_the_compose_file_is_valid() -> None:
    argv = [BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", FILES / "compose.yml"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


def test_its_variables_exist_and_its_versions_are_the_tested_ones(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert known_variables(services["millrace"]["environment"])
    assert services["millrace"]["stop_grace_period"] == f"{STOP_SECONDS / 60:.0f}m"
    assert services["kafka"]["image"].endswith(f"/kafka:{KAFKA_VERSION}")
    used = {volume.split(":")[0] for service in services.values() for volume in service["volumes"]}
    assert used - {"."} == set(compose["volumes"])
    ports = [port for service in services.values() for port in service["ports"]]
    assert all(port.startswith("127.0.0.1:") for port in ports), "nobody else reaches what knows no users"


def test_mosquitto_takes_its_configuration(compose: dict[str, Any], tmp_path: Path) -> None:
    text = compose["configs"]["mosquitto"]["content"].replace("/mosquitto/data/", f"{tmp_path}/")
    own = [line for line in text.splitlines() if not line.startswith(("listener", "allow_anonymous"))]
    try:
        server = Mosquitto(tmp_path / "mosquitto", extra=own)
    except ServerMissing as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))
    server.start()
    assert server.pid is not None
    server.stop()


def known_variables(names: Any) -> bool:
    """Whether each is a setting, or how a kind of broker is reached."""
    known = {f"MILLRACE_{name.upper()}" for name in Settings.model_fields}
    for each in connectors():
        known |= {f"MILLRACE_{each.kind}_{field}".upper() for field in each.access.model_fields}
    unknown = set(names) - known
    assert not unknown
    return bool(names)


@pytest.mark.parametrize("name", ["Containerfile", "compose.yml"])
def test_a_command_prints_each_file(name: str, tmp_path: Path) -> None:
    option = f"--{name.removesuffix('.yml').lower()}"
    code = "from orchestration.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "service", option],
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, (FILES / name).read_text())
