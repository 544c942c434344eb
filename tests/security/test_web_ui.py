"""The web UI's door, on the real web server over HTTP: other sites, other names, passwords, TLS."""

import asyncio
import json
import ssl
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from ingestion.errors import ConfigError
from ingestion.settings import Settings, load_settings
from orchestration.services.process import ChildProcess, wait_until
from orchestration.system import services
from orchestration.system.instance import prepare_instance
from orchestration.web.access import Access, access
from orchestration.web.client import WebClient, browser_address
from orchestration.web.guard import refusals
from tests.repository import REPOSITORY
from tests.servers.certificates import Certificates, make_certificates
from tests.servers.ports import free_ports

PASSWORD = "correct horse battery"
JSON = {"Content-Type": "application/json"}
LIMIT = 'mutation { setConcurrencyLimit(concurrencyKey: "%s", limit: 7) }'
LIMITS = "{ instance { concurrencyLimits { concurrencyKey } } }"


@dataclass
class Door:
    """A running web server.

    Attributes:
        settings: Its settings.
        port: Where it listens.
        trust: For TLS; None without.
    """

    settings: Settings
    port: int
    trust: ssl.SSLContext | None = None

    def ask(
        self, method: str, path: str, body: str = "", headers: Mapping[str, str] | None = None
    ) -> tuple[int, str]:
        """Status and text of an answer; a header Host replaces the usual one."""
        connection = (
            HTTPSConnection("127.0.0.1", self.port, timeout=60, context=self.trust)
            if self.trust
            else HTTPConnection("127.0.0.1", self.port, timeout=60)
        )
        try:
            connection.request(method, path, body.encode() or None, dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        finally:
            connection.close()

    def limits(self, headers: Mapping[str, str] | None = None) -> set[str]:
        """The concurrency keys that somebody has limited: what a mutation here changes."""
        status, text = self.ask("POST", "/graphql", json.dumps({"query": LIMITS}), JSON | dict(headers or {}))
        assert status == 200, text
        return {each["concurrencyKey"] for each in json.loads(text)["data"]["instance"]["concurrencyLimits"]}


def started(settings: Settings) -> tuple[ChildProcess, int]:
    """A web server that is not waited for; its code server is away, which its own storage does not need."""
    settings.data_dir.mkdir(mode=0o700, parents=True)
    prepare_instance(settings)
    extra = {
        f"MILLRACE_{name.upper()}": str(value)
        for name, value in {
            "project": REPOSITORY,
            "ui_password": settings.ui_password.get_secret_value() if settings.ui_password else "",
            "ui_allowed_hosts": settings.ui_allowed_hosts,
            "ui_tls_cert_file": settings.ui_tls_cert_file or "",
            "ui_tls_key_file": settings.ui_tls_key_file or "",
        }.items()
    }
    (port,) = free_ports(1)
    env = services.environment(settings, extra)
    process = services.web_server(settings, env, path=settings.data_dir / "no.sock", port=port)
    process.launch()
    return process, port


@pytest.fixture(scope="module")
def doors(
    tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str], certificates: Certificates
) -> Iterator[tuple[Door, Door]]:
    """As it is without any setting; and with a name, a password and a certificate."""
    folder = tmp_path_factory.mktemp("web")
    plain = load_settings(data_dir=folder / "plain", catalog=new_database())
    guarded = load_settings(
        data_dir=folder / "guarded", catalog=new_database(), ui_password=PASSWORD,
        ui_allowed_hosts="plant.example.com, Other.example", ui_tls_cert_file=certificates.server,
        ui_tls_key_file=certificates.server,
    )  # fmt: skip
    with ExitStack() as stack:
        made = []
        for settings in (plain, guarded):
            process, port = started(settings)
            stack.callback(process.stop)
            made.append((process, settings, port))
        for process, settings, port in made:
            up = wait_until(
                lambda s=settings, p=port, c=process: services.ui_answers(s, p) or not c.is_running(),  # type: ignore[misc]
                timeout_s=120,
            )
            assert up, "no answer"
            assert process.is_running(), process.log_tail(20)
        trust = ssl.create_default_context(cafile=certificates.authority)
        yield Door(plain, made[0][2]), Door(guarded, made[1][2], trust)


@pytest.fixture
def plain(doors: tuple[Door, Door]) -> Door:
    return doors[0]


@pytest.fixture
def guarded(doors: tuple[Door, Door]) -> Door:
    return doors[1]


def test_the_ui_and_its_programs_work(plain: Door) -> None:
    own = f"127.0.0.1:{plain.port}"
    status, page = plain.ask("GET", "/")
    assert status == 200
    assert "__NEXT_DATA__" in page
    mutation = json.dumps({"query": LIMIT % "own"})
    assert plain.ask("POST", "/graphql", mutation, JSON | {"Origin": f"http://{own}"})[0] == 200
    assert plain.limits() == {"own"}
    local = f"localhost:{plain.port}"
    assert plain.ask("GET", "/server_info", headers={"Host": local})[0] == 200
    assert plain.ask("GET", "/graphql", headers={"Accept": "text/html"})[0] == 200
    reported = {"check_name": "x", "passed": True, "severity": "ERROR", "metadata": {}}
    assert WebClient(plain.settings, plain.port).post(
        "/report_asset_check/millrace/x", reported, timeout_s=60
    )


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "http://127.0.0.1", "http://localhost:{port}", "http://127.0.0.1:{port}.evil.example",
     "http://evil@127.0.0.1:{port}", "https://evil.example:{port}", "", "file://"],
)  # fmt: skip
def test_a_page_of_another_site_changes_nothing(plain: Door, origin: str) -> None:
    headers = JSON | {"Origin": origin.format(port=plain.port)}
    status, text = plain.ask("POST", "/graphql", json.dumps({"query": LIMIT % "foreign"}), headers)
    assert (status, "another site" in text) == (403, True)
    assert plain.ask("POST", "/report_asset_check/x", "{}", headers)[0] == 403
    assert "foreign" not in plain.limits()


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "text/plain; x=application/json", "application/x-www-form-urlencoded", "",
     "application/graphql", "multipart/form-data; boundary=application/json"],
)  # fmt: skip
def test_what_a_form_of_another_site_can_send_changes_nothing(plain: Door, content_type: str) -> None:
    """Without Origin, as an old browser sends it; in the body, and in the address."""
    query = LIMIT % "form"
    path = f"/graphql?query={quote(query)}"
    status, text = plain.ask("POST", path, json.dumps({"query": query}), {"Content-Type": content_type})
    assert (status, "application/json" in text) == (415, True)
    assert (
        plain.ask("POST", "/report_asset_check/x?passed=true", "", {"Content-Type": content_type})[0] == 415
    )
    for accept in ({}, {"Accept": "image/*"}, {"Accept": "text/html"}):
        for method in ("GET", "HEAD"):
            plain.ask(method, path, headers=accept)
    assert plain.ask("GET", path)[0] == 405
    assert "form" not in plain.limits()


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example", "0.0.0.0:{port}",
             "localhost.evil.example", "localhost@evil.example", "", "[::1", "10.1.2.3"],
)  # fmt: skip
def test_a_name_that_was_pointed_here_gets_nothing(plain: Door, host: str) -> None:
    name = host.format(port=plain.port)
    for path in ("/", "/server_info", "/graphql?query={version}", "/favicon.png"):
        status, text = plain.ask("GET", path, headers={"Host": name})
        assert status in (400, 403), text
    same = JSON | {"Host": name, "Origin": f"http://{name}"}
    assert plain.ask("POST", "/graphql", json.dumps({"query": LIMIT % "rebound"}), same)[0] in (400, 403)
    assert "rebound" not in plain.limits()


@pytest.mark.parametrize("twice", ["host", "origin", "authorization", "content-type"])
def test_a_header_that_is_there_twice_is_none(twice: str) -> None:
    """Who reads the first and who reads the last would not agree about it."""
    headers = {
        "host": "localhost", "origin": "http://localhost", "authorization": f"Bearer {PASSWORD}",
        "content-type": "application/json",
    }  # fmt: skip
    once = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "POST", "path": "/graphql", "headers": once}
    access = Access(password=PASSWORD)
    assert not list(refusals(scope, access))
    assert list(refusals(scope | {"headers": [*once, (twice.encode(), headers[twice].encode())]}, access))


def test_no_other_site_shows_it_in_a_frame(plain: Door) -> None:
    with urllib.request.urlopen(browser_address(plain.settings, plain.port), timeout=60) as answer:
        assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"


def talk(door: Door, **headers: str) -> Any:
    """What a WebSocket is answered, or the status that refuses it."""

    async def init() -> Any:
        scheme = "wss" if door.trust else "ws"
        async with connect(
            f"{scheme}://127.0.0.1:{door.port}/graphql", subprotocols=["graphql-ws"],  # type: ignore[list-item]
            additional_headers={name.title(): value for name, value in headers.items() if name != "origin"},
            origin=headers.get("origin"), ssl=door.trust, proxy=None,  # type: ignore[arg-type]
        ) as socket:  # fmt: skip
            await socket.send(json.dumps({"type": "connection_init"}))
            return json.loads(await socket.recv())["type"]

    try:
        return asyncio.run(init())
    except InvalidStatus as refused:
        return refused.response.status_code


def test_websockets_have_the_same_door(plain: Door, guarded: Door) -> None:
    assert talk(plain) == "connection_ack"
    assert talk(plain, origin=f"http://127.0.0.1:{plain.port}") == "connection_ack"
    assert talk(plain, origin="http://evil.example") == 403
    assert talk(guarded) == 401
    assert talk(guarded, authorization=f"Bearer {PASSWORD}") == "connection_ack"


def basic(password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {b64encode(f'anyone:{password}'.encode()).decode()}"}


@pytest.mark.parametrize(
    "wrong",
    [{}, {"Authorization": "Bearer "}, {"Authorization": "Bearer x"}, basic(""), basic(PASSWORD + "x"),
     basic(PASSWORD[:-1]), {"Authorization": f"Digest {PASSWORD}"}, {"Authorization": PASSWORD},
     {"Authorization": "Basic §§"}],
)  # fmt: skip
def test_nothing_is_answered_without_the_password(guarded: Door, wrong: dict[str, str]) -> None:
    encoded = {name: value.encode().decode("latin-1") for name, value in wrong.items()}
    for method, path in (
        ("GET", "/"),
        ("GET", "/favicon.png"),
        ("POST", "/graphql"),
        ("POST", "/report_asset_check/x"),
    ):
        status, text = guarded.ask(method, path, "{}", JSON | encoded)
        assert status == 401, text
        assert PASSWORD not in text


def test_with_password_name_and_certificate(guarded: Door) -> None:
    for right in (basic(PASSWORD), {"Authorization": f"Bearer {PASSWORD}"}):
        assert guarded.ask("GET", "/", headers=right)[0] == 200
        for name in ("plant.example.com", "other.example:3000", "PLANT.example.com"):
            ours = right | JSON | {"Host": name, "Origin": f"https://{name}"}
            assert guarded.ask("POST", "/graphql", json.dumps({"query": LIMITS}), ours)[0] == 200
            assert guarded.ask("POST", "/graphql", "{}", ours | {"Origin": f"http://{name}"})[0] == 403
            assert guarded.ask("POST", "/graphql", "{}", ours | {"Origin": "https://evil.example"})[0] == 403
        assert guarded.ask("GET", "/", headers=right | {"Host": "evil.example"})[0] == 403


def test_the_system_itself_reaches_it_with_password_and_certificate(guarded: Door, tmp_path: Path) -> None:
    report = ("/report_asset_check/millrace/x", {"check_name": "x", "passed": True, "metadata": {}})
    assert WebClient(guarded.settings, guarded.port).post(*report, timeout_s=60)
    wrong = guarded.settings.replaced(ui_password=None)
    assert not WebClient(wrong, guarded.port).post(*report, timeout_s=60)
    other = guarded.settings.replaced(ui_tls_cert_file=make_certificates(tmp_path).server)
    assert not WebClient(other, guarded.port).post(*report, timeout_s=60), (
        "the certificate is not that of the server"
    )
    assert browser_address(guarded.settings, 3000) == "https://127.0.0.1:3000"
    assert (
        browser_address(guarded.settings.replaced(ui_host="0.0.0.0"), 3000)
        == "https://plant.example.com:3000"
    )


SAFE = {"ui_password": PASSWORD, "ui_tls_elsewhere": "true"}


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "plant.example.com"])
@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        (SAFE, "MILLRACE_UI_PASSWORD, MILLRACE_UI_TLS_CERT_FILE"),
        ({"ui_password": PASSWORD}, "MILLRACE_UI_PASSWORD"),
        ({"ui_tls_elsewhere": "true"}, "MILLRACE_UI_TLS_CERT_FILE"),
    ],
)
def test_up_refuses_to_be_open_to_strangers(
    tmp_path: Path, host: str, lacking: dict[str, str], said: str
) -> None:
    given = {name: value for name, value in SAFE.items() if name not in lacking}
    settings = load_settings(data_dir=tmp_path, ui_host=host, ui_port=0, **given)
    with pytest.raises(ConfigError, match=f"open to everybody who reaches {host}: set {said}"):
        services.choose_ui_port(settings)
    access(load_settings(data_dir=tmp_path, ui_host=host, **SAFE))
    access(load_settings(data_dir=tmp_path, ui_host="127.0.0.1"))


def test_a_certificate_that_does_not_fit_is_refused(tmp_path: Path, certificates: Certificates) -> None:
    pem = certificates.server
    for cert, key, said in (
        (pem, None, "needed together"),
        (None, pem, "needed together"),
        (pem, tmp_path / "none.pem", "No such file"),
        (certificates.authority, pem, "cannot use the certificate"),
    ):
        settings = load_settings(data_dir=tmp_path, ui_tls_cert_file=cert, ui_tls_key_file=key)
        with pytest.raises(ConfigError, match=said):
            access(settings)
