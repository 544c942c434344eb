"""Does what operators ask for: runs a command of `millrace`, one at a time, and notes who asked and when."""

import asyncio
import subprocess
import sys
from typing import Any

from pydantic import ValidationError

from ingestion.environment import child_environment
from ingestion.errors import StorageError
from ingestion.settings import Settings
from orchestration.page.action_log import ActionLog
from orchestration.page.actions import Asked
from orchestration.web.roles import Who

_MOST_SECONDS = 900.0
_LONGEST = 2000
_CODE = "import sys; from orchestration.cli import main; sys.exit(main())"


class Acting:
    """Acts for any number of browsers.

    Args:
        settings: Of the system.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._log = ActionLog(settings.data_dir)
        self._turn = asyncio.Lock()

    async def act(self, content: Any, who: Who, *, address: str) -> tuple[int, str]:
        """The status and the sentences of an answer.

        Args:
            content: What was sent, as JSON.
            who: Who asks.
            address: Where from.
        """
        try:
            asked = Asked.model_validate(content)
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False)[0]
            message = str(problem["msg"]).removeprefix("Value error, ")
            return 400, f"{'.'.join(map(str, problem['loc'])) or 'the request'}: {message}"
        try:
            if not who.operates:
                self._log.note(who, asked.command, "refused", address=address)
                return 403, "Only an operator may do this: log in with the operator's password."
            # Once begun, it goes on although its browser leaves.
            return await asyncio.shield(self._in_turn(asked, who, address))
        except StorageError as error:
            return 503, f"Nothing is done without a line in the log: {error}"

    async def _in_turn(self, asked: Asked, who: Who, address: str) -> tuple[int, str]:
        async with self._turn:
            return await asyncio.to_thread(self._run, asked, who, address)

    def _run(self, asked: Asked, who: Who, address: str) -> tuple[int, str]:
        self._log.note(who, asked.command, "begun", address=address)
        code, said = self._command(asked)
        state = "done" if code == 0 else "failed"
        self._log.note(who, asked.command, state, address=address, said=said)
        return (200 if code == 0 else 422), said or ("done" if code == 0 else "It failed without a word.")

    def _command(self, asked: Asked) -> tuple[int, str]:
        argv = [sys.executable, "-c", _CODE, "--data-dir", str(self._settings.data_dir), *asked.command]
        environment = child_environment({"MILLRACE_PROJECT": str(self._settings.project), "NO_COLOR": "1"})
        try:
            done = subprocess.run(
                argv, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, timeout=_MOST_SECONDS, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return 1, f"It was ended after {_MOST_SECONDS / 60:.0f} min."
        except OSError as error:
            return 1, f"The command cannot be started ({error.strerror or error})."
        return done.returncode, done.stdout.decode("utf-8", "replace").strip()[-_LONGEST:]
