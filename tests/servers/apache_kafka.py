"""A real Apache Kafka (KRaft, one node) from its Maven Central jars, on 127.0.0.1.

How a child process is started and stopped is in orchestration/services/process.py.
See https://kafka.apache.org/documentation/#kraft and #security_sasl.
"""

from __future__ import annotations

import base64
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import KafkaError

from orchestration.services.process import ChildProcess, ProcessSpec, accepts_tcp, wait_until
from tests.servers import ServerMissing
from tests.servers.ports import free_ports

KAFKA_VERSION = "4.1.1"
SLF4J_VERSION = "1.7.36"

_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>test</groupId><artifactId>apache-kafka</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{KAFKA_VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>{SLF4J_VERSION}</version>
    </dependency>
  </dependencies>
</project>
"""
# One compiler tier and the serial collector start fastest on few cores.
_JVM = (
    "-Xms128m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)
_SASL_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


def kafka_jars(cache: Path) -> Path:
    """Folder with Kafka's jars, fetched through Maven on first use.

    Args:
        cache: Folder kept between test runs, such as `.pytest_cache`.

    Raises:
        ServerMissing: Maven is needed and not installed.
    """
    home = (cache / f"apache-kafka-{KAFKA_VERSION}").absolute()
    jars = home / "libs"
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not jars.exists():
            maven = _installed("mvn", package="maven")
            partial = home / "libs.partial"
            shutil.rmtree(partial, ignore_errors=True)
            (home / "pom.xml").write_text(_POM)
            done = subprocess.run(
                [maven, "-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime",
                 f"-DoutputDirectory={partial}"],
                cwd=home, capture_output=True, text=True, timeout=300,
            )  # fmt: skip
            if done.returncode != 0:
                raise RuntimeError(f"Maven could not fetch Apache Kafka: {done.stdout[-2000:]}")
            partial.rename(jars)
    return jars


@dataclass(frozen=True)
class KafkaPorts:
    """Where the listeners of one broker are.

    Attributes:
        plain: Without authentication.
        controller: For the broker itself.
        sasl: SASL_PLAINTEXT; nobody listens there without users.
        ssl: TLS; nobody listens there without a certificate.
        sasl_ssl: TLS and SASL.
        proxied: Of a listener whose clients are sent to …
        proxy: … this port, where a test may put a proxy.
    """

    plain: int
    controller: int
    sasl: int
    ssl: int
    sasl_ssl: int
    proxied: int
    proxy: int


class ApacheKafka:
    """A running broker, whoever started it: its addresses and its topics."""

    def __init__(self, ports: KafkaPorts) -> None:
        """Nothing is started.

        Args:
            ports: Of the broker.
        """
        self.ports = ports

    @property
    def bootstrap_servers(self) -> str:
        """`host:port` of the listener without authentication."""
        return f"127.0.0.1:{self.ports.plain}"

    @property
    def sasl_bootstrap_servers(self) -> str:
        """`host:port` of the SASL_PLAINTEXT listener."""
        return f"127.0.0.1:{self.ports.sasl}"

    @property
    def ssl_bootstrap_servers(self) -> str:
        """`host:port` of the SSL listener."""
        return f"127.0.0.1:{self.ports.ssl}"

    @property
    def sasl_ssl_bootstrap_servers(self) -> str:
        """`host:port` of the SASL_SSL listener."""
        return f"127.0.0.1:{self.ports.sasl_ssl}"

    @property
    def proxied_port(self) -> int:
        """Of a listener whose clients are sent to `proxy_port`."""
        return self.ports.proxied

    @property
    def proxy_port(self) -> int:
        """Where a test may put a proxy."""
        return self.ports.proxy

    def create_topic(
        self, name: str, *, partitions: int = 1, config: Mapping[str, str] | None = None
    ) -> None:
        """Create a topic and wait until every partition has a leader."""
        topic = NewTopic(
            name, num_partitions=partitions, replication_factor=1, topic_configs=dict(config or {})
        )
        admin = self._admin()
        try:
            admin.create_topics([topic])
            self._until(lambda: _partitions_led(admin, name) == partitions, f"topic {name} has no leader")
        finally:
            admin.close()

    def add_partitions(self, name: str, count: int) -> None:
        """Let a topic have so many partitions, and do not wait for their leaders."""
        admin = self._admin()
        try:
            admin.create_partitions({name: count})
        finally:
            admin.close()

    def delete_topic(self, name: str) -> None:
        """Delete a topic and wait until it is gone."""
        admin = self._admin()
        try:
            admin.delete_topics([name])
            self._until(lambda: name not in admin.list_topics(), f"topic {name} is still there")
        finally:
            admin.close()

    def _until(self, condition: Callable[[], bool], complaint: str) -> None:
        if not wait_until(condition, timeout_s=60, interval_s=0.05):
            raise RuntimeError(f"{complaint} after 20 s: see the broker's log.")

    def _admin(self) -> KafkaAdminClient:
        return KafkaAdminClient(bootstrap_servers=self.bootstrap_servers)


class KafkaServer(ApacheKafka):
    """A broker that this process starts and stops; its ports and folder stay the same over restarts."""

    def __init__(
        self,
        folder: Path,
        *,
        cache: Path,
        sasl_users: Mapping[str, str] | None = None,
        certificate: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Fetch the jars and write the configuration.

        Args:
            folder: Empty or missing folder for configuration, log and data.
            cache: Folder for the jars, kept between test runs.
            sasl_users: Name → password; adds a SASL_PLAINTEXT listener with PLAIN and SCRAM for them.
            certificate: PEM of a PKCS#8 key and its chain; adds an SSL listener and, with users, SASL_SSL.
            settings: Further broker settings; they win over ours.

        Raises:
            ServerMissing: Java or Maven is not installed.
        """
        super().__init__(KafkaPorts(*free_ports(7)))
        self._java = _installed("java", package="a Java runtime, 17 or newer")
        self._jars = kafka_jars(cache)
        self._folder = folder.absolute()
        self._users = dict(sasl_users or {})
        self._certificate = certificate
        self._config = self._folder / "server.properties"
        self._data = self._folder / "data"
        self._folder.mkdir(parents=True, exist_ok=True)
        lines = {**self._settings(), **(settings or {})}
        self._config.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
        self._config.chmod(0o600)
        self._child = ChildProcess(
            ProcessSpec(
                name="apache-kafka",
                argv=self._java_command("kafka.Kafka", str(self._config)),
                log_folder=self._folder / "log",
                ready=self._serves,
                ready_timeout_s=240,
                stop_timeout_s=20,
            )
        )

    @property
    def pid(self) -> int | None:
        """Process id, or None when it does not run."""
        return self._child.pid

    def start(self) -> None:
        """Start it, formatting its storage first when new, and wait until it answers."""
        if not self._data.exists():
            self._format()
        self._child.start()

    def stop(self) -> None:
        """Shut it down cleanly."""
        self._child.stop()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._child.kill()

    def restart(self) -> None:
        """Stop and start on the same ports and data."""
        self.stop()
        self.start()

    def _serves(self) -> bool:
        if not accepts_tcp(self.ports.plain):
            return False
        try:
            admin = self._admin()
        except KafkaError:
            return False
        try:
            # The port opens before the broker leaves its fence; then it lists itself.
            return bool(admin.describe_cluster()["brokers"])
        except (KafkaError, KeyError):
            return False
        finally:
            admin.close()

    def _settings(self) -> dict[str, str]:
        listeners = {
            "CLIENT": self.ports.plain,
            "PROXIED": self.ports.proxied,
            "CONTROLLER": self.ports.controller,
        }
        protocols = dict.fromkeys(listeners, "PLAINTEXT")
        if self._users:
            listeners["SASL"] = self.ports.sasl
            protocols["SASL"] = "SASL_PLAINTEXT"
        if self._certificate is not None:
            listeners["TLS"], protocols["TLS"] = self.ports.ssl, "SSL"
        if self._certificate is not None and self._users:
            listeners["SASLTLS"], protocols["SASLTLS"] = self.ports.sasl_ssl, "SASL_SSL"
        addresses = {name: f"{name}://127.0.0.1:{port}" for name, port in listeners.items()}
        told = addresses | {"PROXIED": f"PROXIED://127.0.0.1:{self.ports.proxy}"}
        advertised = [address for name, address in told.items() if name != "CONTROLLER"]
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{self.ports.controller}",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "CLIENT",
            "listeners": ",".join(addresses.values()),
            "advertised.listeners": ",".join(advertised),
            "listener.security.protocol.map": ",".join(
                f"{name}:{value}" for name, value in protocols.items()
            ),
            "log.dirs": str(self._data),
            # A broker that was killed may come back as soon as its old session is over: 9 s by default.
            "broker.session.timeout.ms": "4000",
            "broker.heartbeat.interval.ms": "500",
            "auto.create.topics.enable": "false",
            "num.partitions": "1",
            "offsets.topic.num.partitions": "1",
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.num.partitions": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "log.retention.check.interval.ms": "1000",
            "log.segment.delete.delay.ms": "100",
            "log.initial.task.delay.ms": "500",
            "log.cleaner.backoff.ms": "300",
            **(self._sasl_settings("sasl") if self._users else {}),
            **(self._sasl_settings("sasltls") if self._users and self._certificate else {}),
            **(
                {"ssl.keystore.type": "PEM", "ssl.keystore.location": str(self._certificate)}
                if self._certificate
                else {}
            ),
        }

    def _sasl_settings(self, listener: str) -> dict[str, str]:
        plain = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        users = " ".join(f'user_{name}="{password}"' for name, password in self._users.items())
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        return {
            "sasl.enabled.mechanisms": ",".join(_SASL_MECHANISMS),
            f"listener.name.{listener}.plain.sasl.jaas.config": f"{plain} {users};",
            f"listener.name.{listener}.scram-sha-256.sasl.jaas.config": scram,
            f"listener.name.{listener}.scram-sha-512.sasl.jaas.config": scram,
        }

    def _format(self) -> None:
        cluster_id = base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("=").replace("-", "_")
        command = [*self._java_command("kafka.tools.StorageTool", "format", "-t", cluster_id)]
        command += ["-c", str(self._config)]
        for name, password in self._users.items():
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
                command += ["--add-scram", f"{mechanism}=[name={name},password={password}]"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            shutil.rmtree(self._data, ignore_errors=True)
            raise RuntimeError(f"Kafka's storage could not be formatted: {done.stderr[-2000:]}")

    def _java_command(self, main: str, *arguments: str) -> tuple[str, ...]:
        return (self._java, *_JVM, "-cp", f"{self._jars}/*", main, *arguments)


def _partitions_led(admin: KafkaAdminClient, name: str) -> int:
    found = [topic for topic in admin.describe_topics([name]) if not topic.get("error_code")]
    partitions = found[0]["partitions"] if found else []
    return sum(partition["leader_id"] >= 0 for partition in partitions)


def _installed(program: str, *, package: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise ServerMissing(f"{program} is not installed: install {package}.")
    return path


if __name__ == "__main__":  # fetches Kafka before the tests: its argument is the folder kept between runs
    kafka_jars(Path(sys.argv[1]))
