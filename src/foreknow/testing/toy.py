"""A shop that fits on a page. Expected values of tests are worked out from it by hand.

customers (time ``created_at``)                       articles (no time)
    id  created_at   age  tier   referred_by              id  category  list price
    1   2023-12-01   34   gold                            10  shoes     80
    2   2023-12-15        basic  1                        11  hats      20
    3   2024-02-10   51          1                        12  shoes     60
    4   2024-01-31   27   basic

transactions (time ``ts``)
    id  customer  article  ts          price  channel
    1   1         10       2024-01-05  80     web
    2   1         11       2024-01-31  20     store     exactly the first seed time
    3   1         10       2024-02-15  75     web
    4   1         12       2024-03-01  60     web       exactly 30 days after it
    5   2         11       2024-01-20  20     store
    6   2         11       2024-03-10         web       price missing
    7   3         10       2024-03-20  80     store
    8   3         12       2024-03-31  60     web       the last instant of the second window
    9   4         10       2024-04-02  80     web
    10  1         10       2024-03-05  75     web       same instant as 11
    11  1         11       2024-03-05  20     store

The same tables stand in the specification of predictive queries.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from foreknow.schema.table import Column, ForeignKey, Schema, Table
from foreknow.types import Stype

__all__ = ["PROJECT", "SEED_TIMES", "SQL", "make_table", "toy_schema", "write_toy"]

SEED_TIMES = (1706659200, 1709251200)
"""2024-01-31 and 2024-03-01, Unix seconds: 30 days apart."""

SQL = """
CREATE TABLE customers (
    customer_id BIGINT PRIMARY KEY, created_at TIMESTAMP, age BIGINT, tier VARCHAR, referred_by BIGINT);
INSERT INTO customers VALUES
    (1, '2023-12-01', 34, 'gold', NULL), (2, '2023-12-15', NULL, 'basic', 1),
    (3, '2024-02-10', 51, NULL, 1), (4, '2024-01-31', 27, 'basic', NULL);
CREATE TABLE articles (article_id BIGINT PRIMARY KEY, category VARCHAR, "list price" DOUBLE);
INSERT INTO articles VALUES (10, 'shoes', 80), (11, 'hats', 20), (12, 'shoes', 60);
CREATE TABLE transactions (
    transaction_id BIGINT PRIMARY KEY, customer_id BIGINT, article_id BIGINT, ts TIMESTAMP, price DOUBLE,
    channel VARCHAR);
INSERT INTO transactions VALUES
    (1, 1, 10, '2024-01-05', 80, 'web'), (2, 1, 11, '2024-01-31', 20, 'store'),
    (3, 1, 10, '2024-02-15', 75, 'web'), (4, 1, 12, '2024-03-01', 60, 'web'),
    (5, 2, 11, '2024-01-20', 20, 'store'), (6, 2, 11, '2024-03-10', NULL, 'web'),
    (7, 3, 10, '2024-03-20', 80, 'store'), (8, 3, 12, '2024-03-31', 60, 'web'),
    (9, 4, 10, '2024-04-02', 80, 'web'), (10, 1, 10, '2024-03-05', 75, 'web'),
    (11, 1, 11, '2024-03-05', 20, 'store');
"""

PROJECT = """\
dataset: Toy
source: toy.duckdb
tables:
  customers:
    key: customer_id
    time: created_at
    links: {referred_by: customers}
    columns: {age: numerical, tier: categorical}
  articles:
    key: article_id
    columns: {category: categorical, list price: numerical}
  transactions:
    key: transaction_id
    time: ts
    links: {customer_id: customers, article_id: articles}
    columns: {price: numerical, channel: categorical}
tasks:
  Buys:
    type: binary_classification
    entity: {customer_id: customers.customer_id}
    time: seed_time
    label: buys
    tables:
      train: >-
        SELECT * FROM (VALUES (1, TIMESTAMP '2024-01-31', true),
        (2, TIMESTAMP '2024-01-31', false), (4, TIMESTAMP '2024-01-31', false))
        AS t(customer_id, seed_time, buys)
      validation: >-
        SELECT * FROM (VALUES (1, TIMESTAMP '2024-03-01', true),
        (2, TIMESTAMP '2024-03-01', true), (4, TIMESTAMP '2024-03-01', false))
        AS t(customer_id, seed_time, buys)
      test: >-
        SELECT * FROM (VALUES (1, TIMESTAMP '2024-03-31'), (3, TIMESTAMP '2024-03-31'))
        AS t(customer_id, seed_time)
train: {epochs: 2, channels: 8, num_neighbors: [4, 4], batch_size: 2}
"""


def write_toy(path: Path) -> Path:
    """Write the database to a new DuckDB file."""
    with duckdb.connect(str(path)) as connection:
        connection.execute(SQL)
    return path


def make_table(name: str, columns: str, **more: Any) -> Table:
    """A table from ``column dtype stype, ...``; further fields of `Table` as they are."""
    parts = [part.rsplit(" ", 2) for part in columns.split(", ")]
    made = tuple(Column(name=column, dtype=dtype, stype=Stype(stype)) for column, dtype, stype in parts)
    return Table(name=name, columns=made, **more)


def toy_schema() -> Schema:
    """What the tables mean."""
    return Schema(
        {
            t.name: t
            for t in (
                make_table(
                    "customers",
                    "customer_id BIGINT key, created_at TIMESTAMP timestamp, age BIGINT numerical, "
                    "tier VARCHAR categorical, referred_by BIGINT key",
                    primary_key=("customer_id",),
                    foreign_keys=(ForeignKey(columns=("referred_by",), table="customers"),),
                    time_column="created_at",
                ),
                make_table(
                    "articles",
                    "article_id BIGINT key, category VARCHAR categorical, list price DOUBLE numerical",
                    primary_key=("article_id",),
                ),
                make_table(
                    "transactions",
                    "transaction_id BIGINT key, customer_id BIGINT key, article_id BIGINT key, ts TIMESTAMP timestamp, "
                    "price DOUBLE numerical, channel VARCHAR categorical",
                    primary_key=("transaction_id",),
                    foreign_keys=(
                        ForeignKey(columns=("customer_id",), table="customers"),
                        ForeignKey(columns=("article_id",), table="articles"),
                    ),
                    time_column="ts",
                ),
            )
        }
    )
