"""A question about a mart → the version of the lake, the columns and the SQL that answer it.

Names come from the list of marts and from the lake, numbers are integers: no text of a question is SQL.
"""

from dataclasses import dataclass, replace

from ingestion.connectors.marts import Head, MartRefused, Wanted
from ingestion.lake.lake import Lake
from ingestion.serve.bodies import FORMS
from ingestion.serve.changes import change_feed, columns_of, look_back, relation, taken_names
from ingestion.serve.moments import moments
from ingestion.serve.pages import Page, next_page
from ingestion.serve.shelf import Mart
from ingestion.serve.texts import Columns, quoted


@dataclass(frozen=True)
class Question:
    """How a question is answered.

    Attributes:
        sql: What gives the rows, in the notation that is wanted.
        columns: Of the answer.
        head: What is known before the first row.
    """

    sql: str
    columns: Columns
    head: Head


def understand(lake: Lake, mart: Mart, wanted: Wanted, page: Page) -> Question:
    """Find out how to answer.

    Args:
        lake: In a transaction, so that all of this is one version.
        mart: The mart.
        wanted: The question.
        page: Where it begins.

    Raises:
        MartRefused: It cannot be answered so.
        duckdb.Error: The lake cannot be read.
    """
    made = _require_versions(lake, mart, page)
    whole = page.since is None or (made is not None and page.since < made)
    if whole:
        page = replace(page, since=None)
    rows_then = relation(mart, page.version)
    columns = columns_of(lake, f"select * from {rows_then}")
    if whole:
        source = rows_then
    else:
        source = _changes(mart, page, columns)
        columns = columns_of(lake, f"select * from {source}")
    is_keyed = whole and made is not None and "rowid" not in {name.lower() for name, _ in columns}
    rows, following = _cut(lake, f"from {source}", page, wanted.limit, is_keyed=is_keyed)
    sql = f"select {FORMS[wanted.notation].select(columns)} from (select * {rows})"
    fresh_to, complete_to = moments(lake, page.shown, version=page.version)
    head = Head(page.version, whole, mart.streams, following, fresh_to, complete_to)
    return Question(sql, columns, head)


def _require_versions(lake: Lake, mart: Mart, page: Page) -> int | None:
    """The version in which the table was made; None for a view."""
    since = page.version if page.since is None else page.since
    past = look_back(lake, mart, since=since, version=page.version)
    if not past.is_there:
        raise MartRefused(
            "expired", f"version {page.version} of the lake has expired; ask without 'page' and 'since'"
        )
    if page.since is None:
        return past.made
    if past.made is None:
        raise MartRefused(
            "wrong", f"'{mart.name}' is a view, of which no changes are kept; ask without 'since'"
        )
    if since > page.version:
        raise MartRefused("unknown", f"the lake is at version {page.version}; 'since' is an earlier one")
    if not past.complete:
        raise MartRefused(
            "expired", f"versions after {since} of the lake have expired; ask without 'since' for all rows"
        )
    return past.made


def _changes(mart: Mart, page: Page, columns: Columns) -> str:
    """Rows that came and went: an update is one that went and one that came."""
    assert page.since is not None  # noqa: S101  # the whole mart is asked for otherwise
    if taken := taken_names(columns):
        raise MartRefused(
            "wrong", f"'{mart.name}' has a column '{min(taken)}', as changes have; ask without 'since'"
        )
    names = ", ".join(quoted(name) for name, _ in columns)
    if page.since == page.version:
        nothing = relation(mart, page.version)
        return f"(select '' as _change, 0::bigint as _snapshot, {names} from {nothing} limit 0)"
    feed = change_feed(mart, columns, since=page.since, version=page.version)
    return f"({feed} order by 2, 1, feed._row)"


def _cut(lake: Lake, rows: str, page: Page, limit: int | None, *, is_keyed: bool) -> tuple[str, str]:
    """The rows of one page, and the text of the next one."""
    if is_keyed:
        rows = f"{rows} where rowid > {page.after}"
        if limit is None:
            return rows, ""
        ids = f"select rowid as id {rows} order by rowid limit {limit + 1}"
        (row,) = lake.query(f"select count(*), max(id), max(id, 2)[2] from ({ids})")
        if row[0] <= limit:
            return rows, ""
        return f"{rows} and rowid <= {row[2]} order by rowid", next_page(page, row[2])
    given = max(page.after, 0)
    if limit is None and not given:
        return rows, ""
    ordered = rows if rows.startswith("from (") else f"{rows} order by all"
    if limit is None:
        return f"{ordered} offset {given}", ""
    more = lake.query(f"select count(*) from (select 1 {rows} limit 1 offset {given + limit})")[0][0]
    return f"{ordered} limit {limit} offset {given}", next_page(page, given + limit) if more else ""
