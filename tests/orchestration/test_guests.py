"""Brokers that the demo has where their servers are: their streams are in its own copy of the project."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from ingestion.data_folder import DEMO_PROJECT
from ingestion.declare.file import load_streams
from ingestion.settings import load_settings
from orchestration.dbt.project import parse_models
from orchestration.demo.folder import added_by_others, wipe
from orchestration.demo.guests import GUESTS, left_out, present
from orchestration.demo.project import plant_project
from orchestration.demo.streams import GUEST_NAMES, PLANT_NAMES
from tests.repository import REPOSITORY


@pytest.fixture
def demo_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "demo"
    folder.mkdir()
    wipe(folder)
    return folder


def test_guests_are_streams_of_the_demo_s_copy_alone(demo_folder: Path) -> None:
    current = load_settings(project=REPOSITORY, data_dir=demo_folder)
    assert plant_project(current) == REPOSITORY
    project = plant_project(current, GUESTS)
    assert project == demo_folder / DEMO_PROJECT
    streams = load_streams(project / "streams.yml")
    assert {stream.name for stream in streams} == PLANT_NAMES | GUEST_NAMES
    assert {guest.stream.name for guest in GUESTS} == GUEST_NAMES
    assert not GUEST_NAMES & {stream.name for stream in load_streams(REPOSITORY / "streams.yml")}
    assert added_by_others(demo_folder) == []
    parsed = parse_models(load_settings(project=project, data_dir=demo_folder), streams)
    models = {node["name"] for node in parsed.manifest["nodes"].values()}
    for guest in GUESTS:
        assert {f"stg_{guest.stream.name}", guest.stream.mart.removeprefix("marts.")} <= models


def test_what_is_not_installed_is_left_out_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(left_out()) == len(GUESTS) - len(present())
    rabbitmq, kinesis = GUESTS
    assert not replace(kinesis, has_server=lambda: False).is_there
    monkeypatch.setattr("orchestration.services.rabbitmq.rabbitmq_program", lambda: None)
    monkeypatch.setattr(shutil, "which", lambda name: None)  # no port mapper of Erlang
    assert not rabbitmq.is_there
    assert left_out()[0] == (
        "RabbitMQ is left out: to see it, install Debian's rabbitmq-server and 'millrace-lakehouse[rabbitmq]'"
    )
