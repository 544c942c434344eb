"""A question about a mart → the version of the lake, the columns and the SQL that answer it.

Names come from the list of marts and from the lake, numbers are integers: no text of a question is SQL.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import duckdb

from ingestion.connectors.marts import Head, MartRefused, Wanted
from ingestion.lake.contents import asked_of_catalog
from ingestion.lake.lake import CATALOG_NAME, Lake
from ingestion.lake.versions import METADATA_SCHEMA
from ingestion.serve.bodies import FORMS, Columns
from ingestion.serve.pages import Page, next_page
from ingestion.serve.shelf import Mart
from ingestion.serve.texts import literal, quoted

_VERSIONS = f"""
select
    count(*) filter (where snapshot_id > {{since}} and snapshot_id <= {{version}})::bigint,
    coalesce(bool_or(snapshot_id = {{version}}), false),
    (
        select min(there.begin_snapshot) from {METADATA_SCHEMA}.ducklake_table as there
        where there.table_id = (
            select named.table_id from {METADATA_SCHEMA}.ducklake_table as named
            inner join {METADATA_SCHEMA}.ducklake_schema as schemas using (schema_id)
            where schemas.schema_name = {{schema}} and named.table_name = {{table}}
                and named.begin_snapshot <= {{version}}
                and (named.end_snapshot is null or named.end_snapshot > {{version}})
        )
    )
from {METADATA_SCHEMA}.ducklake_snapshot
"""
_MOMENTS = """
with known as (
    select * from lake.raw.batches at (version => {version}) where stream = ? and batch_id <= ?
),

-- A batch reads every partition that has something unread: one without a row in it had nothing.
looked as (select max(started_at) as at from known where start_position < end_position),

newest as (
    select * from known
    qualify row_number() over (partition by source_partition order by batch_id desc) = 1
)

select
    (select max(last_event_time) from known),
    (
        select min(
            case
                when log_end_position <= end_position then greatest(looked.at, started_at)
                else last_event_time
            end
        )
        from newest cross join looked where retired is null
    )
"""
_WENT = ("delete", "update_preimage")


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
    relation = f"{CATALOG_NAME}.{quoted(mart.schema)}.{quoted(mart.table)} at (version => {page.version})"
    columns = _columns(lake, f"select * from {relation}")
    if whole:
        source = relation
    else:
        source = _changes(mart, page, columns)
        columns = _columns(lake, f"select * from {source}")
    is_keyed = whole and made is not None and "rowid" not in {name.lower() for name, _ in columns}
    rows, following = _cut(lake, f"from {source}", page, wanted.limit, is_keyed=is_keyed)
    sql = f"select {FORMS[wanted.notation].select(columns)} from (select * {rows})"
    fresh_to, complete_to = moments(lake, page.shown, version=page.version)
    head = Head(page.version, whole, mart.streams, following, fresh_to, complete_to)
    return Question(sql, columns, head)


def _require_versions(lake: Lake, mart: Mart, page: Page) -> int | None:
    """The version in which the table was made; None for a view."""
    since = page.version if page.since is None else page.since
    sql = _VERSIONS.format(
        since=since, version=page.version, schema=literal(mart.schema), table=literal(mart.table)
    )
    ((kept, is_there, made),) = lake.query(asked_of_catalog(sql))
    if not is_there:
        raise MartRefused(
            "expired", f"version {page.version} of the lake has expired; ask without 'page' and 'since'"
        )
    if page.since is None:
        return None if made is None else int(made)
    if made is None:
        raise MartRefused(
            "wrong", f"'{mart.name}' is a view, of which no changes are kept; ask without 'since'"
        )
    if since > page.version:
        raise MartRefused("unknown", f"the lake is at version {page.version}; 'since' is an earlier one")
    if kept < page.version - since:
        raise MartRefused(
            "expired", f"versions after {since} of the lake have expired; ask without 'since' for all rows"
        )
    return int(made)


def _columns(lake: Lake, sql: str) -> Columns:
    found = lake.connection.sql(f"{sql} limit 0")
    return list(zip(found.columns, found.types, strict=True))


def _changes(mart: Mart, page: Page, columns: Columns) -> str:
    """Rows that came and went: an update is one that went and one that came."""
    assert page.since is not None  # noqa: S101  # the whole mart is asked for otherwise
    taken = {name.lower() for name, _ in columns} & {"_change", "_snapshot", "_row"}
    if taken:
        raise MartRefused(
            "wrong", f"'{mart.name}' has a column '{min(taken)}', as changes have; ask without 'since'"
        )
    names = ", ".join(quoted(name) for name, _ in columns)
    if page.since == page.version:
        nothing = f"{CATALOG_NAME}.{quoted(mart.schema)}.{quoted(mart.table)} at (version => {page.version})"
        return f"(select '' as _change, 0::bigint as _snapshot, {names} from {nothing} limit 0)"
    feed = (
        f"ducklake_table_changes({literal(CATALOG_NAME)}, {literal(mart.schema)}, {literal(mart.table)}, "
        f"{page.since + 1}, {page.version}) as feed(_snapshot, _row, _change, {names})"
    )
    kind = f"if(feed._change in ({', '.join(map(literal, _WENT))}), 'delete', 'insert')"
    return (
        f"(select {kind} as _change, feed._snapshot::bigint as _snapshot, {names} from {feed} "
        f"order by feed._snapshot, {kind}, feed._row)"
    )


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


def moments(
    lake: Lake, shown: Mapping[str, int], *, version: int
) -> tuple[Mapping[str, datetime], Mapping[str, datetime]]:
    """How fresh, and how complete, a mart is.

    Args:
        lake: Where the batches are.
        shown: Stream → the newest batch that the mart has.
        version: Of the lake.

    Returns:
        Stream → the time of its newest event that is there; stream → the time up to which everything is.
    """
    fresh, complete = dict[str, datetime](), dict[str, datetime]()
    for stream, batch in shown.items():
        try:
            ((newest, to),) = lake.query(_MOMENTS.format(version=version), [stream, batch])
        except duckdb.CatalogException:  # nothing has been landed yet
            continue
        if newest is not None:
            fresh[stream] = newest
        if to is not None:
            complete[stream] = to
    return fresh, complete
