"""The commands of docs/formats/, run as they stand there, in projects that declare what the pages declare."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from confluent_kafka.schema_registry import Schema
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from ingestion.formats.schema_registry import registry as product
from ingestion.lake.lake import Lake
from ingestion.settings import Settings, load_settings
from ingestion.spool.writer import SpoolEvent, SpoolWriter
from orchestration.cli.app import run
from orchestration.scaffold.new import create_project
from tests.formats.avro_bytes import encode
from tests.formats.edge_node import EdgeNode
from tests.formats.registering import avro, client, record
from tests.ingestion.helpers import produce
from tests.names import numbers
from tests.repository import REPOSITORY
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.mosquitto import Mosquitto
from tests.servers.schema_registry import SchemaRegistry
from tests.waiting import eventually

pytestmark = pytest.mark.slow("brokers, batches and replays with dbt")
PAGES = {path.stem: path.read_text() for path in (REPOSITORY / "docs" / "formats").glob("*.md")}
COMMAND = re.compile(r"`millrace ([a-z][^`]*)`")
FIRST, SECOND = record(("id", "long")), record(("id", "long"), ("cents", "long"))
_mine = numbers()


@dataclass
class Page:
    """A page in a project of its own.

    Attributes:
        name: Of the page.
        folder: The project's.
        capsys: Takes what commands print.
        variables: Sets MILLRACE_… for them.
    """

    name: str
    folder: Path
    capsys: pytest.CaptureFixture[str]
    variables: Callable[..., None]

    def __post_init__(self) -> None:
        self.left = set(COMMAND.findall(PAGES[self.name]))

    def declare(self, **names: str) -> dict[str, object]:
        """Take the page's first example, with other names of topics."""
        text = re.findall(r"```yaml\n(.*?)```", PAGES[self.name], re.DOTALL)[0]
        for before, now in names.items():
            assert f"kafka: {before}" in text
            text = text.replace(f"kafka: {before}", f"kafka: {now}")
        (self.folder / "streams.yml").write_text(text)
        found: dict[str, object] = yaml.safe_load(text)
        return found

    def run(self, command: str, *more: str, code: int = 0) -> str:
        """Run a command of the page, or one that is needed between them; what it prints."""
        self.left -= {command, " ".join([command, *more])}
        self.capsys.readouterr()
        found = run([*command.split(), *more])
        said = self.capsys.readouterr()
        assert found == code, said.out + said.err
        return said.out

    def is_done(self) -> None:
        """Every command of the page has run."""
        assert self.left == set(), "commands of the page that its test does not run"

    def query(self, sql: str) -> list[tuple[object, ...]]:
        with Lake(load_settings(project=self.folder)) as lake:
            return lake.query(sql)

    def payloads(self, stream: str) -> list[object]:
        rows = self.query(f"select payload from raw.{stream} order by position")
        return [json.loads(str(text)) for (text,) in rows]


@pytest.fixture
def page(
    request: pytest.FixtureRequest, tmp_path: Path, settings: Settings,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> Page:  # fmt: skip
    """The page that the test names."""
    folder = tmp_path / "plain"
    create_project(folder, example="none")
    monkeypatch.chdir(folder)

    def variables(**said: object) -> None:
        for name, value in said.items():
            monkeypatch.setenv(f"MILLRACE_{name.upper()}", str(value))

    variables(
        data_dir=settings.data_dir,
        catalog=settings.catalog.get_secret_value() if settings.catalog else "",
        source_timeout_seconds=15,
    )
    return Page(request.param, folder, capsys, variables)


@pytest.fixture
def topic(apache_kafka: ApacheKafka) -> str:
    name = f"page_{next(_mine)}"
    apache_kafka.create_topic(name, partitions=1)
    return name


def staging_of(page: Page, name: str) -> None:
    model = page.folder / "dbt_project" / "models" / "staging" / f"stg_{name}.sql"
    model.write_text(f"{{{{ staging('{name}') }}}}\n")


@pytest.mark.parametrize("page", ["registry"], indirect=True)
def test_registry(page: Page, apache_kafka: ApacheKafka, topic: str, tmp_path: Path) -> None:
    server = SchemaRegistry(tmp_path / "registry", first_id=700).start()
    try:
        page.variables(kafka_bootstrap_servers=apache_kafka.bootstrap_servers, schema_registry_url=server.url)
        page.declare(orders=topic)
        staging_of(page, "orders")
        write = avro(server, FIRST, topic=topic)
        key = avro(server, {"type": "long"}, topic=f"{topic}_keys")(7)
        later = write({"id": 3})[5:]
        unknown = b"\0" + (703).to_bytes(4, "big") + later
        values = [write({"id": 1}), write({"id": 2}), unknown]
        produce(apache_kafka.bootstrap_servers, topic, values, keys=[key] * 3)
        page.run("ingest", "orders")
        assert page.payloads("orders") == [{"id": 1}, {"id": 2}]
        assert page.query("select reason from raw.rejects") == [("unknown_schema",)]
        for schema in (SECOND, record(("id", "long"), name="Other")):
            client(server).register_schema(f"{topic}-elsewhere", Schema(json.dumps(schema), "AVRO"))
        page.run("rejects retry orders")
        assert page.payloads("orders") == [{"id": 1}, {"id": 2}, {"id": 3}], "once the schema is registered"
        page.query("update raw.orders set payload = '{}'")
        page.run("replay orders --from-raw")
        assert page.payloads("orders") == [{"id": 1}, {"id": 2}, {"id": 3}]
        assert "701" in page.run("status", "--json")
        page.run("status")
        # The tests' own PostgreSQL flushes nothing, which doctor calls a problem.
        assert f"{server.url} answers" in page.run("doctor", code=1)
        assert "avro" in page.run("peek", f"kafka:{topic}")
        added = json.loads(
            page.run("add", "more", "--from", f"kafka:{topic}", "--since", "earliest", "--json")
        )
        assert "prefix" in json.dumps(added)
        page.is_done()
    finally:
        server.stop()


@pytest.mark.parametrize("page", ["avro"], indirect=True)
def test_avro(page: Page, apache_kafka: ApacheKafka, topic: str) -> None:
    page.variables(kafka_bootstrap_servers=apache_kafka.bootstrap_servers)
    schemas = page.folder / "schemas"
    schemas.mkdir()
    (schemas / "orders.avsc").write_text(json.dumps(record(("order_id", "long"), ("cents", "int"))))
    page.declare(orders=topic)
    staging_of(page, "orders")
    wide = record(("order_id", "long"), ("cents", "int"), ("note", "string"))
    other = record(("order_id", "long"), ("c", "int"))
    sent = [encode(wide, {"order_id": 7, "cents": 5, "note": "x"}), encode(other, {"order_id": 8, "c": 6})]
    produce(apache_kafka.bootstrap_servers, topic, sent)
    page.run("ingest", "orders")
    assert page.payloads("orders") == [{"order_id": 8, "cents": 6}]
    assert page.query("select reason from raw.rejects") == [("not_avro",)]
    (schemas / "orders.avsc").write_text(json.dumps(wide))
    page.run("rejects retry", "orders")
    assert {"order_id": 7, "cents": 5, "note": "x"} in page.payloads("orders"), "declare that schema"
    page.query("delete from raw.orders where position = 1")
    (schemas / "orders.avsc").write_text(
        json.dumps(record(("order_id", "long"), ("euro_cents", "int"), ("note", "string")))
    )
    page.run("replay orders --from-raw")
    assert page.payloads("orders") == [{"order_id": 7, "euro_cents": 5, "note": "x"}], (
        "a schema that was wrong"
    )
    page.is_done()


@pytest.mark.mosquitto
@pytest.mark.parametrize("page", ["sparkplug"], indirect=True)
def test_sparkplug(page: Page, settings: Settings, mosquitto: Mosquitto) -> None:
    page.variables(mqtt_host=mosquitto.host, mqtt_port=mosquitto.port)
    page.declare()
    staging_of(page, "plant")
    node = EdgeNode()
    born = list(node.birth())
    spool = SpoolWriter(settings.data_dir / "spool" / "plant")
    spool.append([SpoolEvent(topic.encode(), value, None, 10**15) for topic, value in (node.data(1), *born)])
    spool.commit()
    spool.close()
    page.run("ingest", "plant")
    (data, *_) = page.payloads("plant")
    assert [each["name"] for each in data["metrics"]] == [None]
    page.run("replay plant --from-raw")
    assert len(page.payloads("plant")) == 3
    page.run("status")
    sender = Client(CallbackAPIVersion.VERSION2)
    sender.connect(mosquitto.host, mosquitto.port)
    sender.loop_start()
    for topic, value in born:
        sender.publish(topic, value, 1, retain=True).wait_for_publish(30)
    seen = page.run("peek", "mqtt:spBv1.0/plant/#", "--limit", "2")
    asked: list[str] = []
    sender.on_message = lambda client, data, message: asked.append(message.topic)
    sender.subscribe("spBv1.0/factory/NCMD/#", 1)
    page.run("rebirth plant factory/press-1")
    eventually(lambda: asked == ["spBv1.0/factory/NCMD/press-1"], "the node is asked for its births")
    sender.disconnect()
    sender.loop_stop()
    assert "Temp" in seen
    page.is_done()


def test_every_page_has_its_test() -> None:
    own = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert set(PAGES) <= own


@pytest.mark.parametrize("name", sorted(PAGES))
def test_what_is_to_be_installed_exists(name: str) -> None:
    extras = set(re.findall(r"pip install 'millrace-lakehouse\[(\w+)\]'", PAGES[name]))
    named = set(re.findall(r"extra `(\w+)`", PAGES[name]))
    text = (REPOSITORY / "pyproject.toml").read_text()
    assert all(re.search(rf"^{each} = \[", text, re.MULTILINE) for each in extras | named)


@pytest.fixture(autouse=True)
def _registry_is_forgotten() -> Iterator[None]:
    yield
    product._opened.cache_clear()
