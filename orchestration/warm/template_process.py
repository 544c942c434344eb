"""The keeper's side of the template: start it, wait until the project is loaded, ask it for a worker, end it.

What the template does is in template.py. Its failures are sentences for the page of the refused run.
"""

from __future__ import annotations

import os
import select
import signal
import socket
from contextlib import suppress
from pathlib import Path

from orchestration.warm import forking, protocol

_LOAD_SECONDS = 60.0


class TemplateFailed(RuntimeError):
    """The template cannot give a worker; the message is the reason."""


class TemplateProcess:
    """A forked template.

    Args:
        module: the module with the Dagster definitions.
        working_directory: the folder it is imported from.
        code: fingerprint of the code it loads.
        server: the keeper's listening socket, which the fork must not keep open.

    Attributes:
        code: as given.
        ready: whether the project is known to be loaded.
        may_wait: whether a worker may wait for its run.
        failure: why the project could not be loaded, once that is known.
    """

    def __init__(
        self, module: str, working_directory: Path, *, code: str, server: socket.socket | None
    ) -> None:
        # Imported late: it brings Dagster with it, and the keeper listens before that.
        from orchestration.warm import template

        self.code = code
        self.ready = False
        self.may_wait = False
        self.failure: TemplateFailed | None = None
        self._module = module
        keeper_pid = os.getpid()
        location = template.Location(module, str(working_directory))
        self._channel, template_end = socket.socketpair()

        def body() -> int:
            self._channel.close()
            if server is not None:
                server.close()
            return template.serve(location, channel=template_end, keeper_pid=keeper_pid)

        self.pid = forking.spawn(body, log_path=None)
        template_end.close()
        self._channel.settimeout(_LOAD_SECONDS)

    def wait_ready(self) -> None:
        """Wait until the project is loaded.

        Raises:
            TemplateFailed: the code raises, ends the process or takes too long.
        """
        if self.failure is not None:
            raise self.failure
        if not self.ready:
            self.may_wait = bool(self._receive().get("may_wait"))
            self.ready = True

    def is_ready(self) -> bool:
        """Whether the project is loaded, without waiting; a failure is for the run that asks for a worker."""
        if not self.ready and self.failure is None and select.select([self._channel], [], [], 0)[0]:
            try:
                self.wait_ready()
            except TemplateFailed as error:
                self.failure = error
        return self.ready

    def fork_waiting(self, socket_path: Path, *, log_path: Path) -> int:
        """Fork a worker that waits for a run on a socket (waiting.py); it becomes a child of the keeper.

        Returns:
            The worker's process id.

        Raises:
            TemplateFailed: no worker could be forked.
        """
        return self._fork({"wait_at": str(socket_path), "log_path": str(log_path)})

    def fork_worker(self, *, run_args: str, log_path: Path) -> int:
        """Fork a worker for one run; it becomes a child of the keeper.

        Returns:
            The worker's process id.

        Raises:
            TemplateFailed: no worker could be forked.
        """
        return self._fork({"run_args": run_args, "log_path": str(log_path)})

    def _fork(self, message: protocol.Message) -> int:
        self.wait_ready()
        try:
            protocol.send(self._channel, message)
        except OSError as error:
            raise TemplateFailed(
                f"The process that holds {self._module} ended by itself ({error.strerror}): look into the "
                "log of the warm process and launch again."
            ) from error
        return int(self._receive()["pid"])

    def end(self) -> None:
        """Let it end; one that is still importing is killed, because it would not notice."""
        self._channel.close()
        if not self.ready:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def _receive(self) -> protocol.Message:
        try:
            answer = protocol.receive(self._channel)
        except TimeoutError as error:
            raise TemplateFailed(
                f"{self._module} was not loaded within {_LOAD_SECONDS:g} s: move slow work out of the import."
            ) from error
        except OSError as error:
            raise TemplateFailed(
                f"The process that holds {self._module} closed the connection: {error.strerror}."
            ) from error
        if answer is None:
            raise TemplateFailed(
                f"The process that holds {self._module} ended by itself: see the log of the warm process."
            )
        if "error" in answer:
            raise TemplateFailed(str(answer["error"]))
        return answer
