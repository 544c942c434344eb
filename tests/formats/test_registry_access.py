"""How the registry is reached: logins, certificates, several addresses; no message shows a secret."""

from pathlib import Path

import pytest

from ingestion.errors import ConfigError, FormatUnavailable
from ingestion.formats.schema_registry.registry import open_registry
from ingestion.settings import Settings, load_settings
from tests.formats.registering import client
from tests.servers.certificates import Certificates
from tests.servers.ports import free_ports
from tests.servers.schema_registry import SchemaRegistry


def settings_of(folder: Path, url: str, **more: object) -> Settings:
    said = {f"schema_registry_{name}": value for name, value in ({"url": url} | more).items()}
    return load_settings(project=folder, data_dir=folder / "data", source_timeout_seconds=20, **said)


def asks(settings: Settings) -> None:
    """One question, to which an empty registry has no answer."""
    assert open_registry(settings).latest("nothing") is None


def test_logins_and_what_is_said_without_one(tmp_path: Path) -> None:
    server = SchemaRegistry(tmp_path / "registry", user="me:pa55:word", token="t0ken").start()
    asks(settings_of(tmp_path / "a", server.url, username="me", password="pa55:word"))
    asks(settings_of(tmp_path / "b", server.url, token="t0ken"))
    assert client(server, **{"basic.auth.user.info": "me:pa55:word"}).get_subjects() == []
    for folder, login in (
        ("c", {}),
        ("d", {"token": "s3cret"}),
        ("e", {"username": "me", "password": "s3cret"}),
    ):
        with pytest.raises(FormatUnavailable, match=rf"{server.url} refuses the login") as refused:
            asks(settings_of(tmp_path / folder, server.url, **login))
        assert "s3cret" not in str(refused.value)
    nobody = f"http://127.0.0.1:{free_ports(1)[0]}"
    both = settings_of(tmp_path / "f", f"{nobody}, {server.url}/", token="t0ken")
    asks(both)
    server.stop()
    with pytest.raises(FormatUnavailable, match=rf"{nobody} does not answer: .*; {server.url} does not"):
        open_registry(both).latest("other")


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"url": "http://me:s3cret@there:8081"}, "URL is not an address"),
        ({"url": "there:8081"}, "URL is not an address"),
        ({"url": "file:///etc/passwd"}, "URL is not an address"),
        ({"url": "http://there", "username": "me"}, "belong together"),
        (
            {"url": "http://there", "username": "me", "password": "s3cret", "token": "s3cret"},
            "are two logins",
        ),
        ({"url": "http://there", "key_file": "key.pem"}, "is of a certificate"),
    ],
)
def test_a_wrong_variable_is_named_and_not_shown(tmp_path: Path, said: dict[str, str], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence) as refused:
        open_registry(settings_of(tmp_path, **said))
    assert "s3cret" not in str(refused.value)


def test_no_registry_is_configured(tmp_path: Path) -> None:
    with pytest.raises(FormatUnavailable, match="set MILLRACE_SCHEMA_REGISTRY_URL"):
        asks(load_settings(project=tmp_path, data_dir=tmp_path / "data"))


def test_certificates_of_both_sides(tmp_path: Path, certificates: Certificates) -> None:
    server = SchemaRegistry(
        tmp_path / "registry", certificate=certificates.server, clients=certificates.authority
    ).start()
    ours = {"ca_file": str(certificates.authority), "cert_file": str(certificates.server)}
    asks(settings_of(tmp_path / "a", server.url, **ours))
    with pytest.raises(FormatUnavailable, match=r"does not answer: .*certificate verify failed"):
        asks(settings_of(tmp_path / "b", server.url))
    with pytest.raises(FormatUnavailable, match="does not answer"):
        asks(settings_of(tmp_path / "c", server.url, ca_file=str(certificates.authority)))
    (tmp_path / "wrong.pem").write_text("nothing")
    with pytest.raises(FormatUnavailable, match=r"wrong\.pem.*_CA_FILE, _CERT_FILE and _KEY_FILE"):
        asks(settings_of(tmp_path / "d", server.url, ca_file=str(tmp_path / "wrong.pem")))
    server.stop()


def test_a_login_does_not_follow_to_another_address(tmp_path: Path) -> None:
    server = SchemaRegistry(tmp_path / "registry").start()
    away = SchemaRegistry(tmp_path / "away", moved_to=server.url).start()
    with pytest.raises(FormatUnavailable, match="answers with HTTP 302"):
        asks(settings_of(tmp_path / "a", away.url, token="t0ken"))
    assert list(server.asked()) == []
    server.stop()
    away.stop()
