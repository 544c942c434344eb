"""The environment of Superset: made with uv from requirements.lock, and used again until that changes."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

LOCK = Path(__file__).with_name("requirements.lock")
_NEWEST_PYTHON = (3, 12)  # the newest with wheels of all that Superset 6.1 needs
_SECONDS = 1_800


def environment(folder: Path) -> Path:
    """The programs of the environment, which is made if it is missing or of another lock.

    Args:
        folder: Where environments are; each has its lock's checksum in its name.

    Raises:
        subprocess.SubprocessError: It does not install; uv has said why.
        OSError: The folder cannot be written.
    """
    made = folder / f"env-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]}"
    complete = made / "complete"
    if not complete.exists():
        shutil.rmtree(made, ignore_errors=True)
        uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
        python = (
            sys.executable if sys.version_info[:2] <= _NEWEST_PYTHON else ".".join(map(str, _NEWEST_PYTHON))
        )
        for command in (
            [uv, "venv", "--quiet", "--python", python, made],
            [
                uv,
                "pip",
                "install",
                "--quiet",
                "--python",
                made / "bin" / "python",
                "--require-hashes",
                "-r",
                LOCK,
            ],
        ):
            subprocess.run(command, check=True, timeout=_SECONDS, stdout=sys.stderr)
        complete.touch()
    return made / "bin"
