"""The live page of `millrace up` in a browser: light, dark and narrow; what breaks and is mended."""

import json
import os
import signal
from collections.abc import Iterator

import pytest

from orchestration.conditions.condition import Condition
from orchestration.conditions.journal import open_conditions
from orchestration.conditions.kinds import KINDS
from orchestration.page.action_log import newest_actions
from tests.conftest import there
from tests.e2e.conditions.system import PATIENCE_SECONDS, System
from tests.e2e.page import LOOKS, LivePage
from tests.ingestion.helpers import produce
from tests.names import numbers
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.browser import Browser
from tests.servers.webhook import Webhook
from tests.waiting import eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow("a whole system is started, broken and mended before a browser"),
]
STREAMS = """
clicks{n}:
  source: {{kafka: clicks{n}, start: earliest}}
  business_id: [id]
  fields: {{id: varchar, n: bigint}}
"""
LOST = """
lost{n}:
  source: {{kafka: lost{n}, start: earliest}}
  fields: {{id: varchar}}
"""
MART = "select id, n from {{{{ ref('stg_clicks{n}') }}}}"
PAGES = {
    "/": "Streams", "/flow": "sources", "/stream/clicks{n}": "Newest events", "/marts": "Marts",
    "/sql": "What there is", "/alerts": "What is over",
}  # fmt: skip


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with there(lambda: Browser(tmp_path_factory.mktemp("browser"))) as browser:
        yield browser


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, apache_kafka: ApacheKafka) -> Iterator[System]:
    number = 3_000 + next(numbers())
    with Webhook() as hook:
        system = System(
            tmp_path_factory.mktemp("page") / "p",
            kafka=apache_kafka.bootstrap_servers,
            hook=hook,
            number=number,
        )
        apache_kafka.create_topic(f"clicks{number}")
        system.write("streams.yml", STREAMS)
        system.stage("clicks")
        system.write("dbt_project/models/marts/clicked.sql", MART)
        system.start()
        try:
            yield system
        finally:
            system.stop()


@pytest.fixture(scope="module")
def page(system: System, browser: Browser) -> LivePage:
    browser.watch()
    return LivePage(browser, system.state().page_url)


def test_what_arrives_is_followed(system: System, page: LivePage, apache_kafka: ApacheKafka) -> None:
    """What arrives is shown without opening the page again."""
    stream = f"clicks{system.number}"
    with page.nothing_wrong():
        page.open("/", shows=stream)
        events = [json.dumps({"id": f"e{n}", "n": n}).encode() for n in range(7)]
        produce(apache_kafka.bootstrap_servers, stream, [*events, b"no JSON"])
        page.wait_for(lambda text: f"{stream} kafka" in text and " 7 1 " in text, "seven rows and a reject")
        page.wait_for(lambda text: "clicked" in text and "fresh to" in text, "the mart")
    page.open(f"/stream/{stream}", shows="e6")
    page.wait_for(lambda text: "not_json" in text and "millrace rejects retry" in text, "the reject")
    page.open("/marts", shows="clicked")
    page.wait_for(lambda text: "e0" in text and "e6" in text and "fresh to" in text, "the mart's rows")
    page.open("/sql", shows="What there is")
    page.browser.evaluate(f"document.getElementById('sql').value = 'select count(*) as n from raw.{stream}'")
    page.browser.evaluate("document.getElementById('sql').focus()")
    page.browser.press("Tab")
    page.browser.press("Enter")
    page.wait_for(lambda text: "1 row · version" in text, "the answer")
    (row,) = json.loads(system.run("query", f"select count(*) as n from raw.{stream}", "--json").stdout)
    assert row["n"] == 7


@pytest.mark.parametrize("look", LOOKS)
def test_every_page_opens_without_complaint_or_another_server(
    system: System, page: LivePage, look: str
) -> None:
    with page.nothing_wrong():
        for path, shows in PAGES.items():
            page.open(path.format(n=system.number), shows=shows, look=look)
            assert page.overflow() == 0, f"{path} is wider than the window"
            assert (page.background() < 60) == (look == "dark"), path


def test_a_stream_that_breaks_is_read_with_its_age_and_is_over_when_it_is_mended(
    system: System, page: LivePage, apache_kafka: ApacheKafka
) -> None:
    page.open("/", shows="everything works")
    lost = f"lost{system.number}"
    system.write("streams.yml", STREAMS + LOST)
    found = list[Condition]()

    def opened() -> bool:
        found[:] = [each for each in open_conditions(system.data_dir) if each.finding.subject == lost]
        return bool(found)

    eventually(opened, "it is open", seconds=PATIENCE_SECONDS)
    title = KINDS[found[0].finding.name].title
    shown = page.wait_for(lambda text: f"{lost} · {title} · since" in text, "its age")
    assert f"has no topic '{lost}'" in shown
    assert "not work" in shown
    apache_kafka.create_topic(lost)
    page.wait_for(lambda text: "everything works" in text, "it is over")
    page.open("/alerts", shows="What is over")
    page.wait_for(lambda text: f"{title} {lost}" in text, "the journal")


def test_its_process_comes_back_and_is_missed(system: System, page: LivePage) -> None:
    page.open("/", shows="everything works")
    before = system.pid("page")
    assert before is not None
    os.kill(before, signal.SIGKILL)
    eventually(lambda: system.pid("page") not in (None, before), "another one", seconds=PATIENCE_SECONDS)
    page.wait_for(lambda text: "no connection" not in text and "everything works" in text, "it follows again")


def test_an_operator_dismisses_a_reject_and_launches_a_refresh_by_buttons(
    system: System, page: LivePage, apache_kafka: ApacheKafka
) -> None:
    stream = f"clicks{system.number}"
    produce(apache_kafka.bootstrap_servers, stream, [b"to be dismissed"])
    with page.nothing_wrong():
        page.open(f"/stream/{stream}", shows="not_json 15")
        page.browser.evaluate("document.querySelector('[data-action=dismiss_reason]').click()")
        page.wait_for(lambda text: f"Dismiss all open rejects of '{stream}'" in text, "the question")
        page.browser.evaluate("document.getElementById('sure-yes').click()")
        assert json.loads(system.run("rejects", "list", stream, "--json").stdout), "nothing without a reason"
        page.browser.evaluate("document.getElementById('sure-note').value = 'seen by hand'")
        page.browser.evaluate("document.getElementById('sure-yes').click()")
        page.wait_for(lambda text: f"{stream}: " in text and " dismissed Close" in text, "the answer")
        assert json.loads(system.run("rejects", "list", stream, "--json").stdout) == []
        page.wait_for(lambda text: "None: everything that came was decoded." in text, "they are gone")
        page.open("/", shows="Refresh now")
        page.browser.evaluate("document.querySelector('[data-action=refresh]').click()")
        page.browser.evaluate("document.getElementById('sure-yes').click()")
        said = page.wait_for(lambda text: "of 'refresh' is launched" in text, "the run")
        page.open("/alerts", shows="What operators did")
    name = said.partition("of 'refresh' is launched")[0].split()[-1]
    page.open("/", shows=name)
    page.wait_for(lambda text: f"{name} refresh success" in text, "it ends well")
    done = newest_actions(system.data_dir, count=2)
    assert [(each.command[0], each.state) for each in done] == [("refresh", "done"), ("rejects", "done")]
