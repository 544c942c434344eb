"""The web server in a thread of its own, beside the collector's."""

import asyncio
import os
import socket
import threading
from typing import Any

import uvicorn

from ingestion.connectors.http.access import HttpAccess
from ingestion.connectors.http.protocol import BoundedProtocol
from ingestion.errors import SourceUnavailable

_START_SECONDS = 20.0
_FAREWELL_SECONDS = 2
_KEEP_ALIVE_SECONDS = 60
_BACKLOG = 1_024


class HttpServer:
    """Serves an ASGI application until it is stopped; it listens once it is made.

    Args:
        app: The application.
        access: The address.

    Attributes:
        address: With the port that was taken.

    Raises:
        SourceUnavailable: The address cannot be used.
    """

    def __init__(self, app: Any, access: HttpAccess) -> None:
        self._socket = _listen(access)
        self.address = access.address_at(self._socket.getsockname()[1])
        config = uvicorn.Config(
            app,
            http=BoundedProtocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ssl_certfile=access.tls_cert_file,
            ssl_keyfile=access.tls_key_file,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_FAREWELL_SECONDS,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)
        self._up = threading.Event()
        self._thread.start()
        self._up.wait(_START_SECONDS)

    @property
    def is_alive(self) -> bool:
        """Whether it serves."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Take no more connections, answer what is there within seconds, and end."""
        self._server.should_exit = True
        self._thread.join(_FAREWELL_SECONDS + 5)
        self._socket.close()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=self._server.config.get_loop_factory()) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        asyncio.get_running_loop().call_soon(self._up.set)
        await self._server.serve(sockets=[self._socket])


def _listen(access: HttpAccess) -> socket.socket:
    family = socket.AF_INET6 if ":" in access.host else socket.AF_INET
    try:
        return socket.create_server((access.host, access.port), family=family, backlog=_BACKLOG)
    except (OSError, UnicodeError) as error:
        why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise SourceUnavailable(
            f"events cannot be received at {access.address} ({why}): "
            "set MILLRACE_HTTP_PORT to a free port, or end the program that listens there"
        ) from None
