"""Doctor's line about the schema registry: login, subjects, which stream would stop; no secret in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestion.settings import Settings, load_settings
from orchestration.cli.examine_registry import registry as examine
from tests.formats.registering import avro, client, declared, decode, record, rows
from tests.servers.ports import free_ports
from tests.servers.schema_registry import SchemaRegistry

LOGIN = "me:pa55word"
READS = {"fields": {"id": "bigint"}, "format": {"avro": {"schema": "latest"}}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SchemaRegistry]:
    folder = tmp_path_factory.mktemp("registry")
    open_to_all = SchemaRegistry(folder).start()
    avro(open_to_all, record(("id", "long")), topic="orders")({"id": 1})
    assert client(open_to_all).get_subjects() == ["orders-value"]
    open_to_all.stop()
    asking = SchemaRegistry(folder, user=LOGIN).start()
    yield asking
    asking.stop()


def settings_of(folder: Path, url: str | None, password: str = "pa55word") -> Settings:
    login = {"schema_registry_username": "me", "schema_registry_password": password}
    return load_settings(project=folder, data_dir=folder / "data", schema_registry_url=url, **login)


def found(settings: Settings, **said: object) -> list[str]:
    findings = list(examine(settings, [declared(settings, **(READS | said))]))
    assert {each.part for each in findings} <= {"schema registry"}
    assert "pa55word" not in str(findings)
    return [f"{each.state}: {each.message}" for each in findings]


def test_a_registry_that_answers(tmp_path: Path, server: SchemaRegistry) -> None:
    at = settings_of(tmp_path, server.url)
    fine = f"ok: {server.url} answers and takes the login of 'me'"
    assert found(at) == [f"{fine}; it has 1 of 1 subjects that streams.yml names"]
    assert found(at, format={"avro": {"schema": "prefix"}}) == [fine]
    assert found(at, format="json") == [], "no stream reads from a registry"
    nobody = f"http://127.0.0.1:{free_ports(1)[0]}"
    away, works = found(
        settings_of(tmp_path, f"{nobody},{server.url}"), format={"avro": {"schema": "prefix"}}
    )
    assert away.startswith(f"note: the schema registry gives no answer ({nobody} does not answer")
    assert works == fine


def test_what_is_wrong_names_the_stream_that_stops(tmp_path: Path, server: SchemaRegistry) -> None:
    at = settings_of(tmp_path, server.url)
    lost = {"avro": {"schema": {"subject": "orders-value", "version": 9}}}
    assert found(at, format=lost) == [
        "problem: stream 'orders' stops: the registry has no version 9 of subject 'orders-value'; "
        "register its schema, or correct 'schema' in streams.yml"
    ]
    (keys,) = found(at, key={"avro": {"schema": "latest"}})
    assert "has no subject 'orders-key'" in keys
    stops = "stream 'orders' stops at the first schema that the data folder does not keep"
    (refused,) = found(settings_of(tmp_path, server.url, password="not-pa55word"))
    assert refused.startswith(f"problem: the schema registry gives no answer ({server.url} refuses the login")
    assert refused.endswith(stops)
    (nowhere,) = found(settings_of(tmp_path, None))
    assert nowhere == f"problem: {stops}: set MILLRACE_SCHEMA_REGISTRY_URL to its address"


def test_a_registry_that_was_emptied_and_filled_again_is_a_problem(tmp_path: Path) -> None:
    server = SchemaRegistry(tmp_path / "registry").start()
    try:
        at = settings_of(tmp_path, server.url)
        value = avro(server, record(("id", "long")))({"id": 1})
        stream = declared(at, **(READS | {"format": {"avro": {"schema": "prefix"}}}))
        assert decode(stream, at, rows(value)).events.num_rows == 1
        (fine,) = examine(at, [stream])
        assert fine.state == "ok"
        server.stop()
        (tmp_path / "registry" / "schemas.json").unlink()
        server.start()
        avro(server, record(("celsius", "double")))({"celsius": 1.0})
        (found,) = examine(at, [stream])
        assert found.state == "problem"
        assert found.message.startswith(
            f"the schema registry at {server.url} has another schema with id 1 than before: it was emptied "
            "and filled again"
        )
        assert f"delete {at.data_dir / 'schemas'}. Nothing is read" in found.message
    finally:
        server.stop()
