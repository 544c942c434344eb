"""What BI tools see of the marts: SQLAlchemy lists tables, types, keys and comments."""

from collections.abc import Callable

import pytest
import sqlalchemy

from ingestion.serve.shelf import Mart, write_served
from tests.serving.shop import STREAM, new_shop, secret

pytestmark = pytest.mark.xdist_group("serving")  # a server has one role for readers


def test_sqlalchemy_describes_what_is_there(
    tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str]
) -> None:
    shop = new_shop(tmp_path_factory.mktemp("reflected"), new_database)
    shop.open()
    shop.do(
        "create table lake.marts.exact as select 1::bigint as id, 1.50::decimal(38, 2) as money, "
        "now() as seen_at, '{}'::json as payload, ['a'] as tags, true as paid, 'x' as \"Two Words\""
    )
    described = Mart(
        "exact", "marts", "exact", (STREAM,), ("id",),
        description="It's 100 % \\exact. One row per id.",
        columns=(("money", "What it's worth."), ("id", "")),
    )  # fmt: skip
    write_served(shop.settings.data_dir, [described])
    shop.build()
    shop.publish()
    shop.close()
    engine = sqlalchemy.create_engine(
        secret(shop.settings.serving).replace("postgresql", "postgresql+psycopg2")
    )
    seen = sqlalchemy.inspect(engine)
    assert set(seen.get_table_names(schema="marts")) == {"exact", "_served"}
    columns = {column["name"]: column for column in seen.get_columns("exact", schema="marts")}
    assert {name: str(column["type"]) for name, column in columns.items()} == {
        "id": "BIGINT", "money": "NUMERIC(38, 2)", "seen_at": "TIMESTAMP", "payload": "JSON", "tags": "ARRAY",
        "paid": "BOOLEAN", "Two Words": "TEXT",
    }  # fmt: skip
    assert columns["seen_at"]["type"].timezone
    assert columns["money"]["comment"] == "What it's worth."
    assert columns["id"]["comment"] is None
    assert seen.get_pk_constraint("exact", schema="marts")["constrained_columns"] == ["id"]
    assert seen.get_table_comment("exact", schema="marts")["text"] == described.description
    engine.dispose()
