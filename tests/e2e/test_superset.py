"""`make superset` beside a running plant: its dashboard shows what the lake has at `_served`'s version."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
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

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow("Superset is installed and started beside a demo, and read through a browser"),
    pytest.mark.early,
    pytest.mark.timeout(1_200),
]
MILLRACE = Path(sys.executable).with_name("millrace")
TITLE = "The plant"
_FROM = re.compile(r"\bFROM marts\.(\w+)")
_TIME = re.compile(r"TO_TIMESTAMP\('([^']+)', '[^']+'\)")  # what DuckDB does not have
_TEMPORAL = 2  # Superset's number for columns of times
Row = tuple[Any, ...]
Lives = Callable[[], bool]


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
    def running(self, name: str, argv: list[object], shows: str, *, seconds: float) -> Iterator[Lives]:
        """A process that prints something once it is ready; yields what fails when it has ended."""
        output = self.folder / f"{name}.log"
        with output.open("w") as file:
            process = subprocess.Popen(
                [str(each) for each in argv], cwd=REPOSITORY, env=self.environment, stdout=file, stderr=file
            )

        def lives() -> bool:
            assert process.poll() is None, output.read_text()
            return True

        try:
            eventually(
                lambda: lives() and shows in output.read_text(), f"{name} shows {shows}", seconds=seconds
            )
            yield lives
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
    with plant.running("demo", demo, "", seconds=240) as lives:
        datasets = (FILES / "datasets" / "Millrace").glob("*.yaml")
        marts = {yaml.safe_load(path.read_text())["table_name"] for path in datasets} - {"_served"}
        eventually(
            lambda: lives() and marts <= plant.served_or_none().keys(), f"{marts} are published", seconds=900
        )
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


@dataclass(frozen=True)
class Shown:
    """What a chart shows.

    Attributes:
        mart: That it reads.
        version: Of the lake, which the mart is read from.
        sql: The chart's, of that version in the lake.
        names: Of its columns.
        times: Of those that hold times.
        rows: In one order.
    """

    mart: str
    version: int
    sql: str
    names: list[str]
    times: set[str]
    rows: list[Row]


def look(plant: Plant, client: Client, chart: int) -> Shown:
    """Ask for a chart's data, while no other version is published."""
    for _ in range(20):
        before = plant.served()
        answer = asked(client, chart)
        if plant.served() == before:
            break
    else:
        raise AssertionError("the marts were published again with every question")
    (mart,) = set(_FROM.findall(answer["query"]))
    names = answer["colnames"]
    times = {name for name, kind in zip(names, answer["coltypes"], strict=True) if kind == _TEMPORAL}
    if mart == "_served":
        assert {row["mart"]: row["snapshot"] for row in answer["data"]} == before
    version = before.get(mart, 0)
    sql = _FROM.sub(rf"FROM lake.marts.\1 AT (VERSION => {version})", answer["query"])
    sql = _TIME.sub(r"TIMESTAMPTZ '\1+00'", sql).strip().rstrip(";")
    return Shown(mart, version, sql, names, times, rows(answer["data"], names, times))


def compared(plant: Plant, client: Client, charts: dict[str, int]) -> dict[str, Shown]:
    """Every chart's data against the mart in the lake, at the version that `_served` names."""
    shown = {title: look(plant, client, chart) for title, chart in charts.items()}
    of_marts = {title: each for title, each in shown.items() if each.mart != "_served"}
    found = plant.query(
        " UNION ALL ".join(
            f"SELECT {at} AS at, to_json(list(answer)) AS found FROM ({each.sql}) AS answer"
            for at, each in enumerate(of_marts.values())
        )
    )
    assert len(found) == len(of_marts)
    for (title, each), answer in zip(of_marts.items(), sorted(found, key=lambda row: row["at"]), strict=True):
        there = answer["found"] if isinstance(answer["found"], list) else json.loads(answer["found"])
        assert each.rows == rows(there, each.names, each.times), f"{title}: {each.sql}"
    return shown


def test_charts_show_the_marts_at_the_version_that_is_served(plant: Plant, client: Client) -> None:
    dashboard = client.dashboard("plant")
    assert dashboard["dashboard_title"] == TITLE
    assert json.loads(dashboard["json_metadata"])["refresh_frequency"] == 10
    charts = {each["slice_name"]: each["id"] for each in client.get("dashboard/plant/charts")["result"]}
    files = (FILES / "charts").glob("*.yaml")
    assert charts.keys() == {yaml.safe_load(path.read_text())["slice_name"] for path in files}
    first = compared(plant, client, charts)
    assert len({each.mart for each in first.values()}) == 6
    before = first["Readings"]

    def readings_at(version: int) -> float:
        sql = f"select sum(readings) as n from lake.marts.machine_minute at (version => {version})"
        return float(plant.query(sql)[0]["n"])

    assert before.rows == [(readings_at(before.version),)]
    # A later version alone need not have more of them: another mart was built, or files were compacted.
    eventually(
        lambda: readings_at(plant.served()["machine_minute"]) > before.rows[0][0], "new data", seconds=300
    )
    second = compared(plant, client, charts)
    assert second["Readings"].rows[0][0] > before.rows[0][0]


def test_a_browser_shows_it_and_it_follows(plant: Plant, client: Client, tmp_path: Path) -> None:
    titles = [chart["slice_name"] for chart in client.get("dashboard/plant/charts")["result"]]
    with there(lambda: Browser(tmp_path / "browser")) as browser:
        browser.watch()
        browser.look(width=1500, height=1900)
        browser.open(f"{plant.url}/login/")
        eventually(lambda: browser.evaluate("!!document.querySelector('input[type=password]')"), "the login")
        for field, value in (
            ("#username", "admin"),
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
        # Pages would load a picture from a server that counts visits: the policy in config.py stops it.
        elsewhere = {
            url for url in browser.requested() if url.startswith("http") and not url.startswith(plant.url)
        }
        stopped = " ".join(each for each in browser.complaints() if "The action has been blocked" in each)
        assert not [url for url in elsewhere if url not in stopped]


def plant_password(plant: Plant) -> str:
    return (plant.home / "admin.password").read_text()


def readings(text: str) -> int:
    """The number below the title `Readings`."""
    found = re.search(r"\bReadings ([\d,]+)\b", text)
    return int(found[1].replace(",", "")) if found else 0
