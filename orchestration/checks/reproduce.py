"""SQL that shows an operator what a check found, as of the version that it looked at; also after a repair."""

import re

from ingestion.lake.lake import CATALOG_NAME

_RELATION = re.compile(r'("lake"\.)?"(?P<schema>[^".]+)"\."(?P<table>[^".]+)"(?!\s*\.)')


def at_version(sql: str, snapshot_id: int) -> str:
    """The same statement with every quoted relation of the lake read as of a version."""

    def as_of(found: re.Match[str]) -> str:
        if found["schema"] == "information_schema":
            return found[0]
        return f"(from {_relation(found['schema'], found['table'])} at (version => {snapshot_id:d}))"

    return _RELATION.sub(as_of, sql.strip().rstrip(";"))


def rows_at_version(schema: str, table: str, breach: str, *, scope: str, snapshot_id: int) -> str:
    """The rows of a table or view that break a promise.

    Args:
        schema: Its schema.
        table: Its name.
        breach: What follows FROM: `where …` or `qualify …`.
        scope: An SQL condition: rows that were looked at.
        snapshot_id: The version.
    """
    source = f"from {_relation(schema, table)} at (version => {snapshot_id:d}) where {scope}"
    return f"select *\nfrom ({source})\n{breach}"


def _relation(schema: str, table: str) -> str:
    return f'{CATALOG_NAME}."{schema}"."{table}"'
