"""Indexes that DuckLake's tables in PostgreSQL come without: a read must not search what old versions held.

DuckLake asks for the files of one table, and for the statistics of one table's columns, in every plan.
"""

from psycopg2 import extensions, sql

INDEXES = {
    "millrace_data_file": ("ducklake_data_file", ("table_id", "end_snapshot")),
    "millrace_delete_file": ("ducklake_delete_file", ("table_id", "end_snapshot")),
    "millrace_column_stats": ("ducklake_file_column_stats", ("table_id", "column_id")),
    "millrace_file_stats": ("ducklake_file_column_stats", ("data_file_id",)),
}
"""Name → table and columns."""


def index_catalog(connection: extensions.connection, schema: str) -> None:
    """Create those that are missing; the caller sees to it that nobody else does at the same time.

    Args:
        connection: To the catalog's database, in autocommit mode.
        schema: Where DuckLake's tables are; they exist.
    """
    with connection.cursor() as cursor:
        # Asking to create one that exists would wait for every writer all the same.
        cursor.execute("select indexname from pg_indexes where schemaname = %s", (schema,))
        known = {name for (name,) in cursor.fetchall()}
        for name, (table, columns) in INDEXES.items():
            if name not in known:
                cursor.execute(
                    sql.SQL("create index {} on {} ({})").format(
                        sql.Identifier(name),
                        sql.Identifier(schema, table),
                        sql.SQL(", ").join(map(sql.Identifier, columns)),
                    )
                )
