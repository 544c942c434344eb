"""Questions in SQL from the page: one SELECT, a limit of rows, a limit of time, two at once at most."""

import asyncio
import threading
from typing import Any

import duckdb
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ingestion.errors import MillraceError
from ingestion.settings import Settings
from orchestration.cli.query import QueryRefused, Questions
from orchestration.page.html import Html, tag
from orchestration.page.views.sql import LIMITS, answer

WITHIN_SECONDS = 15.0
_AT_ONCE = 2


class Asked(BaseModel):
    """What a browser sends.

    Attributes:
        sql: One SELECT.
        limit: Rows at most.
    """

    model_config = ConfigDict(extra="forbid")

    sql: str = Field(min_length=1, max_length=100_000)
    limit: int = Field(default=LIMITS[0], ge=1, le=LIMITS[-1])


class Asking:
    """Answers from any number of browsers, over at most two connections.

    Args:
        settings: Where the lake is.
        within_seconds: How long a question may take.
    """

    def __init__(self, settings: Settings, *, within_seconds: float = WITHIN_SECONDS) -> None:
        self._settings, self._within_seconds = settings, within_seconds
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._idle: list[Questions] = []
        self._lock = threading.Lock()

    async def answer(self, content: Any) -> tuple[int, Html]:
        """The status and the HTML of an answer.

        Args:
            content: What was sent, as JSON.
        """
        try:
            asked = Asked.model_validate(content)
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, problem["loc"])) or "the question"
            return 400, _refused(f"{place}: {problem['msg']}")
        async with self._turns:
            return await asyncio.to_thread(self._ask, asked)

    def _ask(self, asked: Asked) -> tuple[int, Html]:
        with self._lock:
            questions = self._idle.pop() if self._idle else Questions(self._settings)
        try:
            with questions.one_version() as (_, version):
                columns, rows = questions.first_rows(
                    asked.sql, limit=asked.limit + 1, within_seconds=self._within_seconds
                )
            return 200, answer(columns, rows, limit=asked.limit, version=version)
        except QueryRefused as error:
            return 400, _refused(str(error))
        except (MillraceError, duckdb.Error) as error:
            questions.close()
            return 503, _refused(str(error).splitlines()[0])
        finally:
            with self._lock:
                self._idle.append(questions)

    def close(self) -> None:
        """Close the connections that are idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        for questions in idle:
            questions.close()


def _refused(sentence: str) -> Html:
    return tag("p", sentence, class_="sentence")
