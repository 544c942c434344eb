"""Two projects side by side, with folders named like the product's packages: each lands its own streams."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest
from kafka import KafkaProducer

from tests.names import numbers
from tests.servers.apache_kafka import ApacheKafka
from tests.waiting import eventually

MILLRACE = Path(sys.executable).with_name("millrace")
DAGSTER = Path(sys.executable).with_name("dagster")
SHADOW = "raise SystemExit('a folder of the project was imported')\n"
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow("two systems run side by side until both have landed and built"),
]


def command(project: Path, *arguments: str, kafka: str = "") -> subprocess.CompletedProcess[str]:
    """A command in a project's folder, as its user types it."""
    return subprocess.run(
        [MILLRACE, *arguments], cwd=project, env=environment(kafka), capture_output=True, text=True,
        timeout=120,
    )  # fmt: skip


def environment(kafka: str) -> dict[str, str]:
    return os.environ | {"MILLRACE_KAFKA_BOOTSTRAP_SERVERS": kafka, "MILLRACE_UI_PORT": "0"}


@pytest.fixture
def make(tmp_path: Path) -> Iterator[object]:
    """Makes a project whose only stream is a topic, with folders that shadow the product's packages."""

    def create(name: str, topic: str) -> Path:
        assert command(tmp_path, "new", name).returncode == 0
        project = tmp_path / name
        (project / "streams.yml").write_text(
            f"{topic}:\n  source: {{kafka: {topic}, start: earliest}}\n  fields: {{n: bigint}}\n"
        )
        model = project / "dbt_project" / "models" / "staging" / f"stg_{topic}.sql"
        model.write_text(f"{{{{ staging('{topic}') }}}}\n")
        for package in ("ingestion", "orchestration"):
            (project / package).mkdir()
            (project / package / "__init__.py").write_text(SHADOW)
        return project

    yield create
    shutil.rmtree(tmp_path, ignore_errors=True)


@contextmanager
def running(project: Path, kafka: str) -> Iterator[subprocess.Popen[str]]:
    """`millrace up` in a project's folder."""
    with (project / "up.log").open("w") as log:
        system = subprocess.Popen(
            [MILLRACE, "up", "--no-ui"],
            cwd=project,
            env=environment(kafka),
            stdout=log,
            stderr=log,
            text=True,
        )
        try:
            yield system
        finally:
            system.terminate()
            system.wait(timeout=60)
    assert "a folder of the project was imported" not in "".join(
        path.read_text(errors="replace") for path in (project / ".millrace" / "logs").rglob("*.log")
    )


def staged(project: Path, topic: str, kafka: str) -> int:
    done = command(project, "query", "--json", f"select count(*) as n from staging.stg_{topic}", kafka=kafka)
    return int(json.loads(done.stdout)[0]["n"]) if done.returncode == 0 else 0


def test_two_run_side_by_side_and_shadow_nothing(make: object, apache_kafka: ApacheKafka) -> None:
    assert callable(make)
    kafka = apache_kafka.bootstrap_servers
    topics = [f"own_{number}" for _, number in zip(range(2), numbers(), strict=False)]
    projects = [make(f"project-{at}", topic) for at, topic in enumerate(topics)]
    for topic in topics:
        apache_kafka.create_topic(topic)
    producer = KafkaProducer(bootstrap_servers=kafka)
    for at, topic in enumerate(topics):
        for n in range(10 + at):
            producer.send(topic, json.dumps({"n": n}).encode())
    producer.flush()
    producer.close()
    with ExitStack() as stack:
        systems = [stack.enter_context(running(project, kafka)) for project in projects]
        for at, (project, topic) in enumerate(zip(projects, topics, strict=True)):
            wanted = partial(lambda *which: staged(*which[:3]) == which[3], project, topic, kafka, 10 + at)
            eventually(wanted, topic, seconds=300)
        assert [system.poll() for system in systems] == [None, None]
        done = command(projects[0], "doctor", kafka=kafka)
        assert "declares own_" in done.stdout
        assert "it has 6 models" in done.stdout
    assert (projects[0] / ".millrace").is_dir()
