"""A question that is asked on a thread of its own, so that one that hangs holds up nobody."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from ingestion.errors import CatalogUnavailable

T = TypeVar("T")


class Part(Generic[T]):
    """Asks at once.

    Args:
        ask: The question.
    """

    def __init__(self, ask: Callable[[], T]) -> None:
        self._answer: Future[T] = Future()
        threading.Thread(target=self._run, args=(ask,), name="part", daemon=True).start()

    def _run(self, ask: Callable[[], T]) -> None:
        try:
            self._answer.set_result(ask())
        except BaseException as error:
            self._answer.set_exception(error)

    @property
    def is_asked(self) -> bool:
        """Whether there is no answer yet: what the question uses may not be used or closed."""
        return not self._answer.done()

    def result(self, until_s: float | None, *, what: str) -> T:
        """The answer; raises what the question raised.

        Args:
            until_s: Until when it is waited for, on the monotonic clock; None: as long as it takes.
            what: Who is asked, for the sentence.

        Raises:
            CatalogUnavailable: There is no answer in time.
        """
        try:
            return self._answer.result(None if until_s is None else max(0.0, until_s - time.monotonic()))
        except TimeoutError:
            raise CatalogUnavailable(f"{what} did not answer in time, so a part is missing here") from None
