"""The running system: starts everything in order, keeps it running, reloads changed code, stops in reverse.

It shows nothing: callers pass `progress` and call `check` about once a second from the main thread.
What the processes are is in services.py.
"""

import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

from ingestion.declare.file import read_declared
from ingestion.declare.stream import Stream
from ingestion.errors import ConfigError, MillraceError
from ingestion.lake.lake import Lake
from ingestion.migrate.prepare import prepare_lake
from ingestion.serve.consumers import SERVING, forget
from ingestion.settings import Settings, load_settings
from orchestration.conditions.condition import Condition, Finding
from orchestration.dbt.prepared import prepare_project
from orchestration.observe.watch import Watch
from orchestration.records.system_state import ServiceRow, SystemState, streams_in_use
from orchestration.services.postgres import EmbeddedPostgres
from orchestration.services.process import Service, ServiceError, wait_until
from orchestration.services.supervisor import Supervisor
from orchestration.serving.address import serves
from orchestration.system import services
from orchestration.system.awaited import Awaited
from orchestration.system.code_server import CodeServer
from orchestration.system.collectors import Collectors
from orchestration.system.data_folder import require_usable
from orchestration.system.healing import Healing
from orchestration.system.instance import launcher_socket, prepare_instance
from orchestration.system.lock import publish
from orchestration.system.logs import close_log, own_log, trim_logs
from orchestration.system.reloading import Reloading
from orchestration.system.runtime import variables, write_runtime
from orchestration.web.client import WebClient, browser_address

_LOOK_SECONDS = 2.0
_TRIM_SECONDS = 30.0
_UI_SECONDS = 60.0
_IN_USE = "What was in use before stays in use; a corrected file is taken in within seconds."


class System:
    """Everything that `millrace up` runs. The caller holds the folder's lock (lock.only_system).

    Args:
        settings: As loaded; what is not configured is embedded.
        mode: up or demo, for those who ask.
        ui: Whether the web UI and the live page are started.
        progress: Called with a few words about what comes next.
        brokers: Embedded brokers, started before anything that needs them.
        senders: Whatever sends to them, started last.
        runtime: Settings' names → values that every process of this system must use.
        alive: Called in every `check`, at its begin and after each start of a service.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        mode: str,
        ui: bool,
        progress: Callable[[str], None],
        brokers: Sequence[Service] = (),
        senders: Sequence[Service] = (),
        runtime: Mapping[str, str] | None = None,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        self.settings = settings
        self._reloading = Reloading(
            settings.streams_file,
            settings.watched_code,
            prepare=self._take_in,
            renew=self._renew,
            again=lambda: self._awaited.has_come,
        )
        declared = read_declared(settings)
        self.streams: tuple[Stream, ...] = declared.streams
        self._awaited = Awaited(settings, declared.waiting)
        self._collectors = Collectors()
        self.ui_port = services.choose_ui_port(settings) if ui else None
        self.page_port = services.choose_page_port(settings) if ui else None
        services.require_metrics_door(settings)
        services.require_serving_door(settings)
        self._mode = mode
        self._progress = progress
        self._alive = alive
        self._brokers, self._senders = tuple(brokers), tuple(senders)
        self._runtime = dict(runtime or {})
        self._started_at = datetime.now(UTC).isoformat(timespec="seconds")
        self._socket = services.code_socket(settings)
        self._code_server: CodeServer | None = None
        self._failures: dict[str, str] = {}
        self._watch = Watch(settings)
        self._healing = Healing(lambda name: self._supervisor.pid_of(name), enabled=settings.restart_stuck)
        self._supervise([])
        self._next_look_s = self._next_trim_s = 0.0
        self._log: logging.Handler | None = None

    @property
    def ui_url(self) -> str:
        """The web UI's address; empty without one."""
        return browser_address(self.settings, self.ui_port) if self.ui_port is not None else ""

    @property
    def page_url(self) -> str:
        """The live page's address; empty without one."""
        return browser_address(self.settings, self.page_port) if self.page_port is not None else ""

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """What does not work, the most important first."""
        return self._watch.conditions

    def start(self) -> None:
        """Start everything; when something fails, stop what was started and raise.

        Raises:
            MillraceError: Says what is wrong and what to do about it.
            ServiceError: A process did not come up.
        """
        require_usable(self.settings.data_dir)
        self._log = own_log(services.log_folder(self.settings))
        base = list(self._brokers)
        if self.settings.catalog is None:
            postgres = EmbeddedPostgres(
                self.settings.data_dir / "postgres", tcp=services.serving_door(self.settings)
            )
            self._runtime["catalog"] = postgres.dsn("lake")
            if self.settings.serving is None:
                self._runtime["serving"] = postgres.dsn("serving")
            if self.settings.dagster_catalog is None:
                self._runtime["dagster_catalog"] = postgres.dsn("dagster")
            base.insert(0, postgres)
        self._supervise(base)
        try:
            for service in base:
                self._progress(f"starting {service.name}")
                service.start()
            if self._runtime:
                write_runtime(self.settings.data_dir, self._runtime)
                self.settings = load_settings(
                    project=self.settings.project, data_dir=self.settings.data_dir, **self._runtime
                )
            self._progress("preparing the lake")
            self._prepare(self.streams)
            self._reloading.begin()
            launcher_socket(self.settings).unlink(missing_ok=True)
            rest = self._processes()
            self._supervise([*base, *rest, *self._senders])
            for service in rest:
                self._progress(f"starting {service.name}")
                service.start()
            self._await_ui()
            self._collectors.await_subscribed(self.settings, needed=bool(self._senders))
            for service in self._senders:
                self._progress(f"starting {service.name}")
                service.start()
            web, page = (self._client(port) for port in (self.ui_port, self.page_port))
            asked = services.questions(self.settings, path=self._socket, web=web, page=page)
            self._awaited.start()
            self._watch.start(self.settings, web, questions=asked, streams=lambda: self.streams)
        except BaseException:
            self.stop()
            raise

    def _supervise(self, wanted: Sequence[Service]) -> None:
        self._services = tuple(wanted)
        self._supervisor = Supervisor(self._services, tried=self._alive)

    def _prepare(self, streams: Sequence[Stream]) -> None:
        lake = Lake(self.settings)
        try:
            names = (stream.name for stream in streams)
            prepare_lake(lake, names, progress=self._progress, is_system=True)
            lake.publish_access()
        finally:
            lake.close()
        prepare_project(streams, self.settings.dbt_folder)
        with suppress(OSError):  # it serves `millrace status` alone
            in_use = streams_in_use(self.settings.data_dir)
            in_use.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.copyfile(self.settings.streams_file, in_use)
        prepare_instance(self.settings)

    def _take_in(self) -> None:
        streams, waiting = read_declared(self.settings)
        self._require_settings()
        if not self._reloading.complaint:  # else it has been said
            self._progress(_news(self.streams, streams))
        self._prepare(streams)
        self.streams = streams
        self._awaited.note(waiting)

    def _require_settings(self) -> None:
        """New processes read .env again: with a mistake there they would replace what works.

        Raises:
            MillraceError: It has one.
        """
        try:
            load_settings(project=self.settings.project, data_dir=self.settings.data_dir, **self._runtime)
        except ConfigError as error:
            raise MillraceError(str(error)) from None  # it is not one of streams.yml

    def _renew(self) -> None:
        if not self._collectors.fit(self.streams):
            self.renew_collectors()
        if self._code_server is not None:
            self._code_server.renew()

    def _processes(self) -> list[Service]:
        settings = self.settings
        env = services.environment(settings, variables(self._runtime))
        self._code_server = services.code_server(settings, env, path=self._socket)
        processes: list[Service] = [
            services.warm_process(settings, env),
            self._code_server,
            services.daemon(settings, env, path=self._socket),
        ]
        if self.ui_port is not None:
            processes.append(services.web_server(settings, env, path=self._socket, port=self.ui_port))
        if settings.metrics_port is not None:
            processes.append(services.exporter(settings, env))
        if self.page_port is not None:
            processes.append(services.page_server(settings, env, port=self.page_port))
        if serves(settings):
            processes.append(services.publisher(settings, env))
        else:
            forget(settings, SERVING)
        return [*processes, *self._collectors.make(settings, env, self.streams)]

    def _await_ui(self) -> None:
        ports = [port for port in (self.ui_port, self.page_port) if port is not None]
        if ports:
            self._progress("waiting for the web UI")
            wait_until(
                lambda: all(services.ui_answers(self.settings, port) for port in ports),
                timeout_s=_UI_SECONDS,
                interval_s=0.1,
            )

    def _client(self, port: int | None) -> WebClient | None:
        return WebClient(self.settings, port) if port is not None else None

    def check(self, now_s: float) -> tuple[ServiceRow, ...]:
        """Restart what died, load changed code, keep logs small, and publish the state.

        Args:
            now_s: Seconds from a clock that never goes back.
        """
        self._alive()
        states = self._supervisor.check(now_s)
        if now_s >= self._next_look_s:
            self._next_look_s = now_s + _LOOK_SECONDS
            if self._code_server is not None:
                self._reloading.look(now_s)
                before = self._code_server.pid
                self._attempt("code", partial(self._code_server.settle, now_s))
                if before is not None and self._code_server.pid not in (None, before):
                    self._progress("running on the edited files")
        if now_s >= self._next_trim_s:
            self._next_trim_s = now_s + _TRIM_SECONDS
            self._attempt("logs", lambda: trim_logs(services.log_folder(self.settings)))
        rows = tuple(
            ServiceRow(state.name, state.running, state.pid, state.restarts, state.last_error or "")
            for state in states
        )
        self._attempt("state", lambda: publish(self.settings.data_dir, self._state(rows)))
        healed = self._healing.heal(self._watch.seen().findings, now_s)
        self._watch.look(rows, [*self._edits(), *self._unwritten(), *healed])
        return rows

    def _edits(self) -> Iterator[Finding]:
        """Edited files that are not in use."""
        code = self._code_server.complaint if self._code_server is not None else ""
        if self._reloading.complaint:
            kind = "streams_file_refused" if self._reloading.refused else "code_not_loaded"
            yield Finding(kind, self.settings.streams_file.name, self._reloading.complaint, _IN_USE)
        if code:
            yield Finding("code_not_loaded", "edited code", code, _IN_USE)
        yield from self._awaited.findings()

    def _unwritten(self) -> Iterator[Finding]:
        for part, sentence in self._failures.items():
            yield Finding("files_not_writable", part, sentence)

    def _state(self, rows: tuple[ServiceRow, ...]) -> SystemState:
        return SystemState(
            os.getpid(), self._mode, self.ui_url, self._started_at, rows, page_url=self.page_url
        )

    def _attempt(self, part: str, work: Callable[[], None]) -> None:
        """Do what the system can go on without: a failure is a complaint until it works at a later check."""
        self._failures.pop(part, None)
        try:
            work()
        except (MillraceError, OSError) as error:
            self._failures[part] = str(error)

    def renew_collectors(self) -> None:
        """End the collectors and start those that the declared streams now need, if any."""
        old = self._collectors.services
        for service in old:
            service.stop()
        env = services.environment(self.settings, variables(self._runtime))
        new = self._collectors.make(self.settings, env, self.streams)
        if [service.name for service in old] == [service.name for service in new]:
            self._collectors.services = old  # their supervisor counts on
        else:
            self._supervise([*(service for service in self._services if service not in old), *new])
        for service in self._collectors.services:
            with suppress(ServiceError):  # the supervisor tries it again
                service.start()

    def stop(self) -> None:
        """Stop everything in reverse order."""
        self._watch.stop()
        self._awaited.stop()
        try:
            self._supervisor.stop()
        finally:
            if self._log is not None:
                close_log(self._log)
                self._log = None
            if self._socket.parent != self.settings.data_dir / "run":
                shutil.rmtree(self._socket.parent, ignore_errors=True)

    def stop_senders(self) -> None:
        """Stop what sends to the brokers; it stays stopped."""
        for service in self._senders:
            service.stop()
        self._supervise([service for service in self._services if service not in self._senders])


def _news(before: Sequence[Stream], now: Sequence[Stream]) -> str:
    """What an edit brings, in a few words."""
    old, new = ({stream.name for stream in streams} for streams in (before, now))
    parts = [
        f"{word} {', '.join(sorted(names))}"
        for word, names in (("new:", new - old), ("gone:", old - new))
        if names
    ]
    return f"taking in edited files ({'; '.join(parts)})" if parts else "taking in edited files"
