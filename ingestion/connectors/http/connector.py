"""HTTP among the kinds of sources (connectors/port.py). Its server is imported when a listener is made."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from ingestion.connectors.http.access import HttpAccess
from ingestion.connectors.http.declare import HttpSource
from ingestion.connectors.http.tokens import TokenFile, mart_subject
from ingestion.connectors.intake import Intake
from ingestion.connectors.listener import Listener
from ingestion.connectors.messages import Look, Message, Sender
from ingestion.connectors.port import Finding, Tokens
from ingestion.errors import ConfigError
from ingestion.log.port import Log
from ingestion.spool.lanes import Place
from ingestion.spool.log import SpoolLog

_PART = "http server"


@dataclass(frozen=True)
class HttpConnector:
    """Events are POSTed to the collector: answered after the spool's fsync, and read from the spool."""

    kind: str = "http"
    spec: type[HttpSource] = HttpSource
    access: type[HttpAccess] = HttpAccess
    libraries: tuple[str, ...] = ("starlette.applications", "uvicorn", "httptools")
    extra: str = ""
    collector: str = "collector-http"

    def open_log(
        self, name: str, spec: HttpSource, access: HttpAccess, *, spool: Path, timeout_seconds: float
    ) -> Log:
        """The stream's spool; the server is not asked."""
        return SpoolLog(name, spool)

    def is_configured(self, access: HttpAccess) -> bool:
        """There is always an address: without a setting, one of this machine alone."""
        return True

    def open_listener(
        self,
        sources: Mapping[str, HttpSource],
        access: HttpAccess,
        *,
        state: Path,
        intake: Intake,
        timeout_seconds: float,
    ) -> Listener:
        """A server, for all streams together."""
        access.require_safe(sources.values())
        from ingestion.connectors.http.listener import HttpListener

        return HttpListener(sources, access, state=state, intake=intake, timeout_seconds=timeout_seconds)

    def examine(self, access: HttpAccess, *, timeout_seconds: float) -> Iterator[Finding]:
        """Whether the address may be used, and who answers there."""
        try:
            access.require_safe()
        except ConfigError as error:
            yield Finding(_PART, "problem", str(error))
            return
        from ingestion.connectors.http.client import connection_to

        connection = connection_to(access, timeout_seconds=timeout_seconds)
        try:
            connection.request("GET", "/healthz")
            found = connection.getresponse().status
        except ConnectionRefusedError:
            yield Finding(
                _PART, "note",
                f"nothing listens at {access.address}: 'millrace up' starts what receives events there",
            )  # fmt: skip
            return
        except (OSError, HTTPException) as error:
            yield Finding(
                _PART, "problem",
                f"{access.address} does not answer as it should ({type(error).__name__}): is it another "
                "program? Set MILLRACE_HTTP_PORT to a free port",
            )  # fmt: skip
            return
        finally:
            connection.close()
        if found in (200, 503):
            yield Finding(_PART, "ok", f"{access.address} receives events")
        else:
            yield Finding(
                _PART, "problem",
                f"another program listens at {access.address}: set MILLRACE_HTTP_PORT to a free port",
            )  # fmt: skip

    def peek(self, spec: HttpSource, access: HttpAccess, look: Look) -> Iterator[Message]:
        """What is sent next."""
        access.require_safe()
        from ingestion.connectors.http.peek import peek

        return peek(spec, access, look)

    def open_sender(self, access: HttpAccess, *, timeout_seconds: float) -> Sender:
        """A client of the collector."""
        from ingestion.connectors.http.send import HttpSender

        return HttpSender(access, timeout_seconds=timeout_seconds)

    def identity(self, state: Path) -> str:
        """Nobody queues anything for it."""
        return ""

    def take_over(self, state: Path, identity: str) -> None:
        """There is nothing to take over."""

    def wants_token(self, spec: HttpSource) -> bool:
        """Whether senders show a bearer token."""
        return spec.auth == "token"

    def subject_of_mart(self, mart: str) -> str:
        """What tokens for reading belong to."""
        return mart_subject(mart)

    def tokens(self, state: Path) -> Tokens:
        """The bearer tokens, of which hashes are kept."""
        return TokenFile(state)

    def receipt(self, text: str) -> list[tuple[Place, int]]:
        """Where a receipt's events were stored; nothing of what is not a receipt."""
        from ingestion.connectors.http.receipts import read_receipt

        return read_receipt(text)


HTTP = HttpConnector()
