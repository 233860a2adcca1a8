"""Schema inference over tables given as SELECTs, for tests of its rules."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from foreknow.schema.check import check_schema
from foreknow.schema.infer import Inference, propose
from foreknow.schema.profile import Declared
from foreknow.source.measure import TableMeasures
from foreknow.source.profile import profile_table
from foreknow.source.sql import column_types, quote

__all__ = ["infer", "links", "rows"]


def infer(declared: Mapping[str, Declared] | None = None, **tables: str) -> Inference:
    """Infer the schema of tables given as SELECTs, by name.

    Args:
        declared: Constraints the database is to declare, by table.
        **tables: A SELECT for each table.

    Raises:
        SchemaError: What is proposed doesn't fit together, which is a bug.
    """
    with duckdb.connect(config={"threads": 2}) as connection:
        for name, select in tables.items():
            connection.execute(f"CREATE TABLE {quote(name)} AS {select}")
        relations = {name: quote(name) for name in tables}
        profiles = {
            n: profile_table(connection, r, n, (declared or {}).get(n, Declared())) for n, r in relations.items()
        }
        dtypes = {n: column_types(connection, r) for n, r in relations.items()}
        found = propose(profiles, TableMeasures(connection=connection, relations=relations, dtypes=dtypes))
    check_schema(found.settled)
    check_schema(found.schema)
    return found


def rows(n: int, columns: str) -> str:
    """A SELECT of `n` rows numbered ``i`` from 0.

    Example:
        >>> print(rows(3, "i % 2 AS even"))
        SELECT i % 2 AS even FROM range(3) AS t(i)
    """
    return f"SELECT {columns} FROM range({n}) AS t(i)"


def links(found: Inference) -> dict[str, str]:
    """The links taken, ``table.column: table.key``; several columns are joined by ``+``."""
    goals = {}
    for t in found.schema:
        for k in t.foreign_keys:
            goals[f"{t.name}.{k.name}"] = f"{k.table}.{'+'.join(found.schema.key_of(k))}"
    return goals
