"""The toy shop in memory, wider by two tables, and short ways to ask it something."""

from dataclasses import replace

import duckdb
import pytest

from foreknow.schema.table import Column, ForeignKey, Schema
from foreknow.task.query.bind import bind
from foreknow.task.query.compile import compile_labels
from foreknow.task.query.parse import parse
from foreknow.testing import toy
from foreknow.testing.toy import make_table
from foreknow.types import Stype


@pytest.fixture(scope="session")
def wide_schema():
    """The toy's tables, ``transfers`` (two keys to customers) and ``items`` (key to transactions, no time)."""
    transfers = make_table(
        "transfers",
        "sender_id BIGINT key, receiver_id BIGINT key, amount DOUBLE numerical, sent_at TIMESTAMP timestamp",
        foreign_keys=tuple(ForeignKey(columns=(c,), table="customers") for c in ("sender_id", "receiver_id")),
        time_column="sent_at",
    )
    items = make_table(
        "items",
        "item_id BIGINT key, transaction_id BIGINT key, note VARCHAR text",
        primary_key=("item_id",),
        foreign_keys=(ForeignKey(columns=("transaction_id",), table="transactions"),),
    )
    shop = toy.toy_schema()
    customers = shop["customers"]
    flag = Column(name="vip", dtype="BOOLEAN", stype=Stype.BOOLEAN)
    note = Column(name="note", dtype="VARCHAR", stype=Stype.TEXT)
    return Schema(
        {
            **shop.tables,
            "customers": replace(customers, columns=(*customers.columns, flag, note)),
            "transfers": transfers,
            "items": items,
        }
    )


@pytest.fixture
def shop():
    """The toy in DuckDB's memory."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(toy.SQL)
        yield connection


@pytest.fixture
def labels(shop):
    """Rows (day, entity, label) of a query at the toy's seed times."""

    def run(text, schema=None, seeds=toy.SEED_TIMES, connection=shop):
        schema = schema or toy.toy_schema()
        sql = compile_labels(bind(parse(text), schema), schema, seeds)
        return [(str(t.date()), e, v) for e, t, v in connection.execute(sql).fetchall()]

    return run
