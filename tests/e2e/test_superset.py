"""`make superset` beside a running plant: its dashboard shows what the lake has at `_served`'s version."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import yaml

from deploy.superset.bundle import FILES
from deploy.superset.client import Client
from tests.conftest import there
from tests.repository import REPOSITORY
from tests.servers.browser import Browser
from tests.servers.ports import free_ports
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.slow("installs and starts Superset beside a demo")]
MILLRACE = Path(sys.executable).with_name("millrace")
TITLE = "The plant"
_FROM = re.compile(r"\bFROM marts\.(\w+)")
_TIME = re.compile(r"TO_TIMESTAMP\('([^']+)', '[^']+'\)")  # what DuckDB does not have
_TEMPORAL = 2  # Superset's number for columns of times
Row = tuple[Any, ...]


class Plant:
    """A demo whose marts are in PostgreSQL, and Superset beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data_dir = folder, folder / "data"
        self.serving_port, self.port = free_ports(2)
        self.url = f"http://127.0.0.1:{self.port}"
        self.home = folder / "superset"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MILLRACE_")}
        self.environment = kept | {"MILLRACE_SERVING_PORT": str(self.serving_port)}

    @contextmanager
    def running(self, name: str, argv: list[object], shows: str, *, seconds: float) -> Iterator[None]:
        """A process that prints something once it is ready."""
        output = self.folder / f"{name}.log"
        with output.open("w") as file:
            process = subprocess.Popen(
                [str(each) for each in argv], cwd=REPOSITORY, env=self.environment, stdout=file, stderr=file
            )
        try:

            def ready() -> bool:
                assert process.poll() is None, output.read_text()
                return shows in output.read_text()

            eventually(ready, f"{name} shows {shows}", seconds=seconds)
            yield
        finally:
            process.terminate()
            process.wait(timeout=120)

    def query(self, sql: str) -> list[dict[str, Any]]:
        """`millrace query`."""
        done = subprocess.run(
            [MILLRACE, "--data-dir", self.data_dir, "query", "--json", sql],
            cwd=REPOSITORY, env=self.environment, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return list(json.loads(done.stdout))

    def served(self) -> dict[str, int]:
        """Mart → its version, as PostgreSQL's `_served` says to the reader."""
        password = (self.data_dir / "serving" / "reader.pgpass").read_text().strip().rpartition(":")[2]
        with (
            closing(
                psycopg2.connect(
                    host="127.0.0.1",
                    port=self.serving_port,
                    dbname="serving",
                    user="millrace_reader",
                    password=password,
                )
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("select mart, min(snapshot) from marts._served group by 1")
            return dict(cursor.fetchall())

    def served_or_none(self) -> dict[str, int]:
        """The same; nothing before the first publication."""
        try:
            return self.served()
        except (OSError, psycopg2.Error):
            return {}


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    plant = Plant(tmp_path_factory.mktemp("superset"))
    demo: list[object] = [MILLRACE, "--data-dir", plant.data_dir, "demo", "--for", 1_800, "--no-ui"]
    with plant.running("demo", demo, "", seconds=240):
        datasets = (FILES / "datasets" / "Millrace").glob("*.yaml")
        marts = {yaml.safe_load(path.read_text())["table_name"] for path in datasets} - {"_served"}
        eventually(lambda: marts <= plant.served_or_none().keys(), f"{marts} are published", seconds=300)
        superset: list[object] = [
            sys.executable, "-m", "deploy.superset", "--data-dir", plant.data_dir, "--port", plant.port,
            "--home", plant.home,
        ]  # fmt: skip
        with plant.running("superset", superset, "Ctrl-C ends Superset", seconds=1_800):
            yield plant


@pytest.fixture(scope="module")
def client(plant: Plant) -> Client:
    return Client(plant.url, "admin", (plant.home / "admin.password").read_text())


def asked(client: Client, chart: int) -> dict[str, Any]:
    """What the chart's query answers, row by row as the database has it."""
    context = json.loads(client.get(f"chart/{chart}")["result"]["query_context"])
    for query in context["queries"]:
        query.pop("post_processing", None)
    (answer,) = client.post("chart/data", context | {"force": True})["result"]
    return dict(answer)


def plain(value: object, *, is_time: bool) -> object:
    """A value as both sides have it: times in milliseconds since 1970, numbers to nine digits."""
    if value is None:
        return None
    if is_time:
        return (
            round(datetime.fromisoformat(value).timestamp() * 1000)
            if isinstance(value, str)
            else round(value)
        )  # type: ignore[call-overload]
    return float(f"{float(value):.9g}") if isinstance(value, int | float) else value


def rows(found: list[dict[str, Any]], names: list[str], times: set[str]) -> list[Row]:
    made = [tuple(plain(row[name], is_time=name in times) for name in names) for row in found]
    return sorted(made, key=repr)


def compare(plant: Plant, client: Client, chart: dict[str, Any]) -> tuple[str, int, list[Row]]:
    """A chart's data against the mart, at the version that `_served` names; mart, version, rows."""
    for _ in range(20):
        before = plant.served()
        answer = asked(client, chart["id"])
        if plant.served() == before:
            break
    else:
        raise AssertionError("the marts were published anew with every question")
    sql = answer["query"]
    (mart,) = set(_FROM.findall(sql))
    names = answer["colnames"]
    times = {name for name, kind in zip(names, answer["coltypes"], strict=True) if kind == _TEMPORAL}
    shown = rows(answer["data"], names, times)
    if mart == "_served":
        assert {row["mart"]: row["snapshot"] for row in answer["data"]} == before
        return mart, 0, shown
    at = _FROM.sub(rf"FROM lake.marts.\1 AT (VERSION => {before[mart]})", sql)
    at = _TIME.sub(r"TIMESTAMPTZ '\1+00'", at).rstrip().rstrip(";")
    assert shown == rows(plant.query(at), names, times), f"{chart['slice_name']}: {at}"
    return mart, before[mart], shown


def test_charts_show_the_marts_at_the_version_that_is_served(plant: Plant, client: Client) -> None:
    dashboard = client.dashboard("plant")
    assert dashboard["dashboard_title"] == TITLE
    assert json.loads(dashboard["json_metadata"])["refresh_frequency"] == 10
    charts = client.get("dashboard/plant/charts")["result"]
    titles = {chart["slice_name"] for chart in charts}
    assert titles == {
        yaml.safe_load(path.read_text())["slice_name"] for path in (FILES / "charts").glob("*.yaml")
    }
    first = {chart["slice_name"]: compare(plant, client, chart) for chart in charts}
    assert {mart for mart, *_ in first.values()} == {*plant.served()} & {
        mart for mart, *_ in first.values()
    } | {"_served"}
    readings = first["Readings"]
    (expected,) = plant.query(
        f"select sum(readings) as n from lake.marts.machine_minute at (version => {readings[1]})"
    )
    assert readings[2] == [(float(expected["n"]),)]
    eventually(lambda: plant.served()["machine_minute"] > readings[1], "new data is published", seconds=120)
    second = {chart["slice_name"]: compare(plant, client, chart) for chart in charts}
    assert second["Readings"][2][0][0] > readings[2][0][0]


def test_a_browser_shows_it_and_it_follows(plant: Plant, client: Client, tmp_path: Path) -> None:
    titles = [chart["slice_name"] for chart in client.get("dashboard/plant/charts")["result"]]
    with there(lambda: Browser(tmp_path / "browser")) as browser:
        browser.watch()
        browser.look(width=1500, height=1900)
        browser.open(f"{plant.url}/login/")
        eventually(lambda: browser.evaluate("!!document.querySelector('input[type=password]')"), "the login")
        for field, value in (
            ("input:not([type=password])", "admin"),
            ("input[type=password]", plant_password(plant)),
        ):
            browser.evaluate(f"document.querySelector({json.dumps(field)}).focus()")
            browser.evaluate(f"document.execCommand('insertText', false, {json.dumps(value)})")
        browser.press("Enter")
        eventually(lambda: "/login" not in browser.evaluate("location.pathname"), "logged in", seconds=120)
        browser.open(f"{plant.url}/superset/dashboard/plant/")

        def shown() -> str:
            return browser.text()

        eventually(
            lambda: all(title in shown() for title in [TITLE, *titles]), "its title and charts", seconds=120
        )
        eventually(lambda: readings(shown()) > 0, "a number", seconds=120)
        eventually(lambda: "oven-01" in shown() and "machine_minute" in shown(), "tables", seconds=120)
        browser.picture(plant.folder / "dashboard.png")
        first = readings(shown())
        eventually(lambda: readings(shown()) > first, "another number, without opening it again", seconds=120)
        browser.picture(plant.folder / "dashboard-later.png")
        assert "nexpected error" not in shown()
        assert {
            url for url in browser.requested() if url.startswith("http") and not url.startswith(plant.url)
        } == set()


def plant_password(plant: Plant) -> str:
    return (plant.home / "admin.password").read_text()


def readings(text: str) -> int:
    """The number below the title `Readings`."""
    found = re.search(r"\bReadings ([\d,]+)\b", text)
    return int(found[1].replace(",", "")) if found else 0
