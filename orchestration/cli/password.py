"""`millrace password`: the hash of a password, for the settings of the live page."""

import getpass
import sys

from ingestion.errors import ConfigError
from orchestration.web.passwords import make_hash

_LEAST = 12


def password() -> None:
    """Read a password twice, or the first line of a pipe, and print its hash.

    Raises:
        ConfigError: It is too short, or the two differ.
    """
    if sys.stdin.isatty():
        given = getpass.getpass("password: ")
        if getpass.getpass("again: ") != given:
            raise ConfigError("the two passwords differ; run 'millrace password' again")
    else:
        given = sys.stdin.readline().rstrip("\r\n")
    if len(given.strip()) < _LEAST:
        raise ConfigError(f"a password needs {_LEAST} characters or more")
    sys.stdout.write(f"{make_hash(given.strip())}\n")
