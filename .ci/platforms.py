"""Which platforms have a wheel of every locked package: resolved for each of them, nothing is installed.

Run by `make platforms`; exit 1 when a wheel is missing. README.md says what was run and what only resolves.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

PLATFORMS = {
    "Linux x86-64": "x86_64-unknown-linux-gnu",
    "Linux arm64": "aarch64-unknown-linux-gnu",
    "macOS arm64": "aarch64-apple-darwin",
}
PYTHONS = ("3.11", "3.12", "3.13")
LOCK = Path(__file__).resolve().parent.parent / "requirements.lock"
NO_WHEEL = re.compile(r"([A-Za-z0-9._-]+)==(\S+) has no usable wheels")
PINNED = re.compile(r"^(?=\S)", re.MULTILINE)
"""Where a package begins in the lock; its hashes are indented below."""


def without_wheels(lock: str, *, platform: str, python: str) -> list[str]:
    """The locked packages that a platform would have to build.

    Args:
        lock: The lock's text.
        platform: As uv names it.
        python: As in 3.12.

    Returns:
        Each as name==version.
    """
    missing: list[str] = []
    while said := _resolve(lock, platform=platform, python=python):
        found = NO_WHEEL.search(" ".join(said.split()))
        if found is None:
            raise SystemExit(said)
        missing.append(f"{found[1]}=={found[2]}")
        rest = [entry for entry in PINNED.split(lock) if not entry.startswith(missing[-1])]
        if len(rest) == len(PINNED.split(lock)):
            raise SystemExit(said)
        lock = "".join(rest)
    return missing


def _resolve(lock: str, *, platform: str, python: str) -> str:
    """Resolve a lock without installing; returns uv's complaint, empty when there is none."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "requirements.lock"
        file.write_text(lock)
        command = [
            Path(sys.executable).with_name("uv"),
            "pip",
            "install",
            "--dry-run",
            "--quiet",
            "--no-deps",
            "--require-hashes",
        ]
        command += ["--only-binary", ":all:", "--python-platform", platform, "--python-version", python]
        command += ["--python", sys.executable, "--target", f"{folder}/nothing", "-r", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr if done.returncode else ""


def main() -> int:
    """Print a line for each platform and Python."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lock", type=Path, default=LOCK)
    lock = parser.parse_args().lock.read_text()
    count = len(re.findall(r"^[A-Za-z0-9]", lock, re.MULTILINE))
    print(f"{count} locked packages")
    complete = True
    for name, platform in PLATFORMS.items():
        for python in PYTHONS:
            missing = without_wheels(lock, platform=platform, python=python)
            complete &= not missing
            said = f"no wheel of {', '.join(missing)}" if missing else "every wheel is there"
            print(f"{name:<13} Python {python}  {said}", flush=True)
    return int(not complete)


if __name__ == "__main__":
    sys.exit(main())
