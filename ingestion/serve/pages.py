"""Where a page begins, and in which version of the lake: a program gets it with the page before."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from ingestion.connectors.marts import MartRefused, Wanted

_Number = Annotated[int, Field(ge=0, lt=2**63)]


@dataclass(frozen=True)
class Page:
    """A page.

    Attributes:
        mart: Whose.
        version: Of the lake; the same for all pages.
        since: As was asked; None: all rows, as at the first page.
        after: The last row's id, or the number of rows that were given, with all pages before.
        shown: Stream → the newest batch that the mart had, when the first page was asked for.
    """

    mart: str
    version: _Number
    since: _Number | None = None
    after: int = -1
    shown: Mapping[str, _Number] = field(default_factory=dict)

    def text(self) -> str:
        """As a program keeps it."""
        return urlsafe_b64encode(_PAGE.dump_json(self)).decode().rstrip("=")


_PAGE = TypeAdapter(Page)


def read_page(wanted: Wanted) -> Page | None:
    """The page that is asked for; None for the first.

    Raises:
        MartRefused: It was not given for this question.
    """
    if not wanted.page:
        return None
    try:
        padded = wanted.page + "=" * (-len(wanted.page) % 4)
        page = _PAGE.validate_json(urlsafe_b64decode(padded), strict=True)
    except (ValueError, ValidationError):
        page = None
    if page is None or page.mart != wanted.mart:
        raise MartRefused("unknown", "this page belongs to no answer of this mart; ask without 'page'")
    return page


def next_page(page: Page, after: int) -> str:
    """The text of the page that follows."""
    return Page(**{**asdict(page), "after": after}).text()
