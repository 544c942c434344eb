"""Throw-away certificates for 127.0.0.1, made with openssl: an authority and what it signed."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.servers import ServerMissing


@dataclass(frozen=True)
class Certificates:
    """An authority of the test's own.

    Attributes:
        authority: PEM of the authority, for clients.
        server: PEM of a server's key (PKCS#8) and certificate for the given name.
    """

    authority: Path
    server: Path


def make_certificates(folder: Path, *, name: str = "IP:127.0.0.1") -> Certificates:
    """Make an authority, and a server certificate that it signed.

    Args:
        folder: Empty or missing.
        name: Subject alternative name of the server.

    Raises:
        ServerMissing: openssl is not installed.
    """
    if shutil.which("openssl") is None:
        raise ServerMissing("openssl is not installed: install openssl.")
    folder.mkdir(parents=True, exist_ok=True)
    new = "req -x509 -newkey rsa:2048 -nodes -days 1 -keyout"
    _openssl(folder, f"{new} ca.key -out ca.pem -subj /CN=authority")
    _openssl(
        folder,
        f"{new} server.key -out server.pem -subj /CN=server -CA ca.pem -CAkey ca.key"
        f" -addext subjectAltName={name} -addext basicConstraints=critical,CA:false",
    )
    server = folder / "server-with-key.pem"
    server.write_text((folder / "server.key").read_text() + (folder / "server.pem").read_text())
    server.chmod(0o600)
    return Certificates(folder / "ca.pem", server)


def _openssl(folder: Path, arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments.split()], cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"openssl: {done.stderr[-1000:]}")
