"""The pages: the only list of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.settings import Settings
from orchestration.conditions.journal import open_conditions
from orchestration.dbt.alert_tables import AlertTable, alert_tables
from orchestration.dbt.manifest import known_state
from orchestration.dbt.project import dbt_project, known_models
from orchestration.flow.graph import Flow, flow_of
from orchestration.flow.outlets import with_outlets
from orchestration.page.alertcontent import read_alerts
from orchestration.page.content import StreamContent, read_stream
from orchestration.page.heard import HeardReader
from orchestration.page.html import Html
from orchestration.page.look import Look
from orchestration.page.martcontent import MartsReader
from orchestration.page.views.alerts import alerts_tiles
from orchestration.page.views.flow import flow_tiles
from orchestration.page.views.marts import marts_tiles
from orchestration.page.views.overview import overview_tiles
from orchestration.page.views.sql import sql_tiles
from orchestration.page.views.stream import stream_tiles


@dataclass
class Sources:
    """What a page may read besides the look: only on the reader's thread.

    Attributes:
        settings: Of the system.
        streams: The declared ones.
        lake: In the transaction of the look.
        marts: Reads tiles, over a connection of its own.
        heard: Reads what became of conditions.
    """

    settings: Settings
    streams: Sequence[Stream]
    lake: Lake
    marts: MartsReader
    heard: HeardReader
    _parsed: tuple[str, Flow, tuple[str, ...], tuple[AlertTable, ...]] | None = None

    def stream(self, name: str) -> StreamContent | None:
        """What a stream's page shows; None where no such stream is declared."""
        declared = next((each for each in self.streams if each.name == name), None)
        return None if declared is None else read_stream(self.settings, self.lake, declared)

    def flow(self, look: Look) -> Mapping[str, Html]:
        """The flow of the project as it was parsed last, with what the system hands on, and to whom."""
        _, flow, problems, tables = self._project()
        shown = with_outlets(
            flow,
            published=look.overview.publishing,
            alerting=[each.name for each in tables if each.severities],
            reactions=look.overview.reactions,
        )
        return flow_tiles(look, shown, problems)

    def alerts(self, look: Look) -> Mapping[str, Html]:
        """The alerts of the project's rules."""
        _, _, _, tables = self._project()
        conditions = open_conditions(self.settings.data_dir)
        return alerts_tiles(look, read_alerts(self.lake, tables), conditions, self.heard.read())

    def _project(self) -> tuple[str, Flow, tuple[str, ...], tuple[AlertTable, ...]]:
        state = known_state(dbt_project(self.settings))
        name = state.name if state is not None else ""
        if self._parsed is None or self._parsed[0] != name:
            parsed = known_models(self.settings)
            self._parsed = (
                name,
                flow_of(self.streams, parsed),
                parsed.broken.problems,
                tuple(sorted(alert_tables(parsed.manifest), key=lambda each: each.name)),
            )
        return self._parsed


@dataclass(frozen=True)
class Page:
    """A page.

    Attributes:
        title: In its heading and in the menu.
        path: Where it is; `{of}` stands for what it is about.
        tiles: What it shows, of the look, of sources, and of what it is about.
        in_menu: Whether the menu names it.
    """

    title: str
    path: str
    tiles: Callable[[Look, Sources, str], Mapping[str, Html]]
    in_menu: bool = True


PAGES: Mapping[str, Page] = {
    "overview": Page("Overview", "/", lambda look, sources, of: overview_tiles(look)),
    "flow": Page("Flow", "/flow", lambda look, sources, of: sources.flow(look)),
    "stream": Page(
        "Stream",
        "/stream/{of}",
        lambda look, sources, of: stream_tiles(look, sources.stream(of), name=of),
        in_menu=False,
    ),
    "marts": Page("Marts", "/marts", lambda look, sources, of: marts_tiles(sources.marts.read())),
    "sql": Page("SQL", "/sql", lambda look, sources, of: sql_tiles(look)),
    "journal": Page("Alerts", "/alerts", lambda look, sources, of: sources.alerts(look)),
}
