"""A traceback in a service's log shows the way, never the values of variables: passwords are among them."""

import subprocess
import sys

import pytest

from tests.repository import REPOSITORY

_PROGRAM = """
import importlib, sys
importlib.import_module(sys.argv[1])
import structlog

def connect(password):
    raise ConnectionError("the broker refused")

try:
    connect("open-" + "sesame")
except ConnectionError:
    structlog.get_logger("a.service").exception("it failed")
"""


@pytest.mark.parametrize("service", ["ingestion.collect.__main__", "orchestration.metrics.__main__"])
def test_a_service_logs_no_values_of_variables(service: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _PROGRAM, service], cwd=REPOSITORY,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True,
    )  # fmt: skip
    assert "in connect" in ran.stdout
    assert "the broker refused" in ran.stdout
    assert "open-sesame" not in ran.stdout
