"""Which template is in use: the one with the newest code that can be loaded.

Code that cannot be loaded replaces nothing: runs go on with what was loaded before, as the code server does,
until the files change again. What a template is: template.py.
"""

from __future__ import annotations

from collections.abc import Callable

from orchestration.warm.template_process import TemplateFailed, TemplateProcess


class Templates:
    """The template in use, and the one that may take its place.

    Args:
        start: starts a template for a state of the code.
        replaced: called when the template in use goes: what it forked to wait is of old code.
        say: writes a sentence to the log.

    Attributes:
        in_use: None before the first, and after one ended by itself or could not be loaded.
    """

    def __init__(
        self,
        start: Callable[[str], TemplateProcess],
        *,
        replaced: Callable[[], None],
        say: Callable[[str], None],
    ) -> None:
        self.in_use: TemplateProcess | None = None
        self._start, self._replaced, self._say = start, replaced, say
        self._next: TemplateProcess | None = None
        self._refused = ""

    def prepare(self, code: str) -> None:
        """Without waiting, begin to load a state of the code, or put it into use once it is loaded."""
        if self._has_nothing_for(code):
            self._use(self._start(code))
            return
        if not self._is_news(code):
            return
        loading = self._loading(code)
        if loading.is_ready():
            self._put_into_use(loading)
        elif loading.failure is not None:
            self._refuse(loading)

    def newest(self, code: str) -> TemplateProcess:
        """The template for a run: of this code if it can be loaded, which is waited for; else the one in use.

        Raises:
            TemplateFailed: it cannot be loaded, and nothing was loaded before.
        """
        if self._has_nothing_for(code):
            self._use(self._start(code))
        elif self._is_news(code):
            loading = self._loading(code)
            try:
                loading.wait_ready()
            except TemplateFailed as error:
                loading.failure = error
                self._refuse(loading)
            else:
                self._put_into_use(loading)
        if self.in_use is None:
            raise TemplateFailed("the project is not loaded: launch again")
        return self.in_use

    def drop(self) -> None:
        """End both; the next run starts a new one."""
        self._use(None)
        if self._next is not None:
            self._next.end()
        self._next, self._refused = None, ""

    def _has_nothing_for(self, code: str) -> bool:
        """Whether nothing is loaded that a run could use, nor is this code being loaded."""
        if self.in_use is None:
            return True
        return self.in_use.code != code and not self.in_use.is_ready()

    def _is_news(self, code: str) -> bool:
        return self.in_use is not None and code not in (self.in_use.code, self._refused)

    def _loading(self, code: str) -> TemplateProcess:
        if self._next is not None and self._next.code != code:
            self._next.end()
            self._next = None
        if self._next is None:
            self._next = self._start(code)
        return self._next

    def _put_into_use(self, loaded: TemplateProcess) -> None:
        self._next, self._refused = None, ""
        self._use(loaded)

    def _refuse(self, failed: TemplateProcess) -> None:
        self._say(f"{failed.failure} Until then, runs go on with the code that was loaded before.")
        failed.end()
        self._next, self._refused = None, failed.code

    def _use(self, template: TemplateProcess | None) -> None:
        self._replaced()
        if self.in_use is not None:
            self.in_use.end()
        self.in_use = template
