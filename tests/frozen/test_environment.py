"""Every variable of the environment: its default, what it accepts, and what is said of a wrong value.

Each value is tried on the command line. How it is compared and stored again: snapshot.py.
"""

import re
from pathlib import Path

import pytest

from tests.frozen.commands import PROJECT, Commands, Result
from tests.frozen.product import variables
from tests.frozen.snapshot import anonymous, check

TRIED = ("", "wrong", "-1", "0", "1", "99999", "true")
ACCEPTED = "stream 'nowhere' is not declared"
TOGETHER: tuple[tuple[dict[str, str], tuple[str, ...]], ...] = (
    ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, ("ingest", "nowhere")),
    ({"KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "KAFKA_USERNAME": "me"}, ("ingest", "nowhere")),
    (
        {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_USERNAME": "me", "KAFKA_PASSWORD": "x"},
        ("ingest", "nowhere"),
    ),
    ({"MQTT_PORT": "99999"}, ("status",)),
    ({"MQTT_PORT": "99999"}, ("doctor",)),
    ({"KAFKA_CLIENT": "pykafka"}, ("status",)),
    ({"CATALOG": "mysql://me:secret@there/lake"}, ("query", "select 1")),
    ({"CATALOG": "postgresql://me:secret@127.0.0.1:1/lake"}, ("query", "select 1")),
    ({"LAKE_PATH": "s3://bucket/lake", "CATALOG": "postgresql://me@127.0.0.1:1/lake"}, ("backup", "backups")),
    ({"MQTT_HOST": "127.0.0.1", "MQTT_TLS": "true", "MQTT_CA_FILE": "/nonexistent/ca.pem"}, ("collect",)),
    ({"SCHEMA_REGISTRY_URL": "http://me:secret@there:8081"}, ("status",)),
    ({"SCHEMA_REGISTRY_URL": "http://there:8081", "SCHEMA_REGISTRY_USERNAME": "me"}, ("status",)),
    ({"STREAMS_FILE": "/nonexistent/streams.yml"}, ("status",)),
)


@pytest.mark.slow("every setting, read by a command each")
def test_environment(commands: Commands, tmp_path: Path) -> None:
    known = variables()
    example = re.findall(r"^#(MILLRACE_\w+)=", (PROJECT / ".env.example").read_text(), flags=re.MULTILINE)
    assert sorted(example) == sorted(known)

    own = {"MILLRACE_DATA_DIR": str(tmp_path / "data")}

    def sentence(result: Result) -> str:
        said = result.err.strip() or result.out.strip()
        assert "secret" not in said
        places = {str(tmp_path / "data"): "<data>", str(PROJECT): "<project>"}
        versions = re.sub(r"(?m)^.*  versions .*\n", "", said)  # of doctor: they move with every upgrade
        return f"{result.code} {anonymous(versions, places)}"

    lines = []
    for name, default in sorted(known.items()):
        lines += ["", f"{name}, default {default}"]
        accepted = []
        results = commands.run_each(("ingest", "nowhere"), [own | {name: value} for value in TRIED])
        for value, result in zip(TRIED, results, strict=True):
            said = sentence(result)
            if ACCEPTED in said:
                accepted.append(value or "nothing")
            else:
                lines.append(f"  {value or 'nothing'}: {said}")
        lines.append(f"  accepts: {', '.join(accepted) or '-'}")
    for values, line in TOGETHER:
        settings = {f"MILLRACE_{name}": value for name, value in values.items()}
        shown = " ".join(f"{name}={value}" for name, value in settings.items())
        lines += [
            "",
            f"{shown} millrace {' '.join(line)}",
            f"  {sentence(commands.run_with(line, own | settings))}",
        ]
    check("environment.txt", "\n".join(lines).lstrip())
