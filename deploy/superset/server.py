"""Superset as a process: its folder with database, key and password, and gunicorn on 127.0.0.1."""

import os
import secrets
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from orchestration.services.process import ChildProcess, ProcessSpec, require_free_port

USER = "admin"
_CONFIG, _SET_UP = (Path(__file__).with_name(name) for name in ("config.py", "set_up.py"))
_START_SECONDS = 180.0
_SET_UP_SECONDS = 1_800
_OWN = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")
"""What it gets of our environment: a shell's FLASK_… or SUPERSET_… would change it."""


class Superset:
    """One Superset.

    Args:
        programs: Of its environment.
        home: Its folder; private, made when missing, used again with all that people have made in it.
        port: Where it listens.

    Attributes:
        url: Its address.
        password_file: The password of `admin`.
    """

    def __init__(self, programs: Path, home: Path, *, port: int) -> None:
        self._programs, self._home, self._port = programs, home, port
        self.url = f"http://127.0.0.1:{port}"
        self.password_file = home / "admin.password"

    def start(self) -> None:
        """Make what is missing in its folder, and start it; returns once it answers.

        Raises:
            ServiceError: The port is taken, or it does not answer; its log is quoted.
            subprocess.SubprocessError: Its database cannot be made.
        """
        require_free_port(self._port, service="Superset")
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        environment = self._environment()
        self._set_up(environment)
        self._process = ChildProcess(
            ProcessSpec(
                name="superset",
                argv=[
                    str(self._programs / "gunicorn"), "--workers", "1", "--worker-class", "gthread",
                    "--threads", "8", "--timeout", "120", "--bind", f"127.0.0.1:{self._port}",
                    "superset.app:create_app()",
                ],
                log_folder=self._home / "logs",
                ready=self._answers,
                ready_timeout_s=_START_SECONDS,
                env=environment,
                cwd=self._home,
            )
        )  # fmt: skip
        self._process.start()

    def stop(self) -> None:
        """End it."""
        self._process.stop()

    def is_running(self) -> bool:
        """Whether its process lives."""
        return self._process.is_running()

    def password(self) -> str:
        """Of the user `admin`."""
        return self.password_file.read_text(encoding="utf-8").strip()

    def _environment(self) -> dict[str, str]:
        return {name: os.environ[name] for name in _OWN if name in os.environ} | {
            "FLASK_APP": "superset.app:create_app()",
            "SUPERSET_HOME": str(self._home),
            "SUPERSET_CONFIG_PATH": str(_CONFIG),
            "SUPERSET_SECRET_KEY": _secret(self._home / "secret.key"),
            "TZ": "UTC",  # in which the marts' times are; "the last two hours" is counted by its clock
            "PYTHONDONTWRITEBYTECODE": "1",  # beside config.py
        }

    def _set_up(self, environment: dict[str, str]) -> None:
        """Its database and its user, unless they are there; a killed attempt is made again."""
        complete = self._home / "complete"
        made_by = str(self._programs)
        if complete.exists() and complete.read_text(encoding="utf-8") == made_by:
            return
        print("Superset makes its database, about a minute …", file=sys.stderr, flush=True)
        _secret(self.password_file)
        done = subprocess.run(
            [self._programs / "python", _SET_UP], env=environment, cwd=self._home,
            capture_output=True, text=True, timeout=_SET_UP_SECONDS,
        )  # fmt: skip
        if done.returncode:
            sys.stderr.write(done.stderr[-3000:])
            done.check_returncode()
        complete.write_text(made_by, encoding="utf-8")

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=5) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def _secret(file: Path) -> str:
    """A secret that is made once and kept in a file which its owner alone reads."""
    if not file.exists():
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as made:
            made.write(secrets.token_urlsafe(32))
    return file.read_text(encoding="utf-8")
