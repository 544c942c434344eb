"""The library Soda: imported once, quiet, without telemetry. The only module that imports it.

What is run with it is in soda.py.
"""

import copy
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from orchestration.checks.contracts import Contract
from orchestration.checks.outcomes import first_line

# Read while Soda is imported: no telemetry, and no .env of a parent folder copied into the environment.
_ENVIRONMENT = {"SODA_CORE_TELEMETRY_ENABLED": "false", "PYTHON_DOTENV_DISABLED": "true"}

complaints: ContextVar[list[str] | None] = ContextVar("soda_complaints", default=None)
"""Where Soda's errors go while a contract runs; None: nowhere."""


@dataclass(frozen=True)
class Soda:
    """The parts of Soda that running a contract uses; Soda has no types.

    Attributes:
        session: Runs a contract.
        source: Reads a contract.
        data_source: DuckDB as Soda sees it.
        wrapper: Takes a connection to DuckDB.
    """

    session: Any
    source: Any
    data_source: Any
    wrapper: Any


@cache
def soda() -> Soda:
    """Soda, imported once and quiet: its log lines go to _Complaints only.

    The session is called below `verify_contract_locally`, the layer that reports to telemetry.
    """
    os.environ.update(_ENVIRONMENT)
    from soda_core.common import yaml
    from soda_core.common.yaml import ContractYamlSource
    from soda_core.contracts.contract_verification import ContractVerificationSession
    from soda_core.contracts.impl.contract_verification_impl import CheckImpl
    from soda_duckdb.common.data_sources.duckdb_data_source import (
        DuckDBDataSourceConnectionWrapper,
        DuckDBDataSourceImpl,
    )

    # Two thirds of a small contract's time. Each value is copied whole wherever it is read, so that variables
    # can be put into its first level; and each check is written as YAML again, which is for Soda's cloud.
    yaml.copy = _OneLevel()
    CheckImpl._build_definition = lambda _check: ""
    logger = logging.getLogger("soda")
    logger.propagate = False
    logger.setLevel(logging.ERROR)
    logger.addHandler(_Complaints())
    return Soda(
        ContractVerificationSession,
        ContractYamlSource,
        DuckDBDataSourceImpl,
        DuckDBDataSourceConnectionWrapper,
    )


@lru_cache(maxsize=256)
def parsed(contract: Contract) -> Any:
    """The contract as Soda reads it, parsed once: its YAML parser takes a third of a short run."""
    source = soda().source.from_str(contract.text)
    document = source.parse()
    source.parse = lambda: document
    return source


class _OneLevel:
    """In place of the module copy where Soda reads a contract: what is below is only read."""

    @staticmethod
    def deepcopy(value: Any) -> Any:
        """A copy whose own items may be replaced."""
        if not hasattr(value, "copy_attributes"):
            return copy.copy(value)
        fresh = value.__class__()
        if isinstance(value, dict):
            for key in value:
                fresh[key] = value[key]
        else:
            fresh.extend(value)
        value.copy_attributes(fresh)  # its lines
        return fresh


class _Complaints(logging.Handler):
    """Hands Soda's errors to the run they belong to."""

    def emit(self, record: logging.LogRecord) -> None:
        found = complaints.get()
        if found is not None:
            found.append(first_line(record.getMessage()))


@contextmanager
def root_handlers_kept() -> Iterator[None]:
    """Soda leaves a handler on the root logger, which would turn off a later `logging.basicConfig`."""
    before = list(logging.root.handlers)
    try:
        yield
    finally:
        for handler in [handler for handler in logging.root.handlers if handler not in before]:
            logging.root.removeHandler(handler)
