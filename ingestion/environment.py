"""The environment that libraries of this process and of its children see. Our own variables: settings.py."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

_LIBPQ_DEFAULTS = (
    "PGHOSTADDR", "PGSERVICE", "PGSERVICEFILE", "PGTARGETSESSIONATTRS",  # another server than the one named
    "PGPASSWORD",  # it goes before the file of passwords that an address names
    "PGOPTIONS", "PGDATESTYLE", "PGTZ", "PGGEQO", "PGCLIENTENCODING",  # a session that means other things
)  # fmt: skip
_OF_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


def prepare() -> None:
    """Take out what a shell says to other programs, and turn off what would call home; once, at the start.

    PostgreSQL's client library lets variables complete an address: meant for somebody's psql, they would
    lead the catalog's connections astray. PGPASSFILE, certificates and time limits stay in force, since an
    address of one's own may count on them. What runs on this machine is not asked through a proxy.
    """
    for name in _LIBPQ_DEFAULTS:
        os.environ.pop(name, None)
    direct = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    direct = ",".join(dict.fromkeys(filter(None, (*direct.replace(" ", "").split(","), *_OF_THIS_MACHINE))))
    os.environ.update(no_proxy=direct, NO_PROXY=direct)
    # dlt reads it before our settings reach it, and would call home from a plain `millrace ingest`.
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"


@contextmanager
def exported(values: Mapping[str, str | None]) -> Iterator[None]:
    """Set variables for libraries of this process while the block runs; None takes one away."""
    before = {name: os.environ.get(name) for name in values}
    _set(values)
    try:
        yield
    finally:
        _set(before)


@contextmanager
def restored() -> Iterator[None]:
    """Take back what a library changes in the environment while the block runs."""
    before = dict(os.environ)
    try:
        yield
    finally:
        _set({**{name: None for name in os.environ.keys() - before.keys()}, **before})


def _set(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def take_variable(name: str) -> str:
    """The value of a variable for this process alone: its children do not get it. Empty when it is unset."""
    return os.environ.pop(name, "")


def child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """This process's environment plus `extra`, for a child process."""
    return {**os.environ, **extra}
