"""Measure what profiles don't tell: how far values are found elsewhere, and what is unique together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb

from foreknow.schema.profile import Containment
from foreknow.schema.storage import storage_kind
from foreknow.source.sql import column_types, columns_list, fetch_all, fetch_one, quote, text_sql, value_sql

__all__ = ["TableMeasures", "measure_containment", "unique_together"]

NUM_EXAMPLES = 5
SETS_PER_QUERY = 8  # sets of columns counted at once; bounds memory


@dataclass(frozen=True, kw_only=True)
class TableMeasures:
    """The measures of schema inference over relations in DuckDB; see ``schema/profile.py``.

    ``relations`` is SQL that goes after FROM, for each table; ``dtypes`` are DuckDB types by table and column.
    """

    connection: duckdb.DuckDBPyConnection
    relations: Mapping[str, str]
    dtypes: Mapping[str, Mapping[str, str]]

    def containment(self, table: str, columns: tuple[str, ...], to_table: str, to: tuple[str, ...]) -> Containment:
        """See `measure_containment`."""
        return measure_containment(self.connection, self.relations, table, columns, to_table, to, dtypes=self.dtypes)

    def num_distinct(self, table: str, sets: Sequence[tuple[str, ...]], *, head: int | None = None) -> list[int]:
        """Rows that differ in each set of columns. Rows are told apart by 64-bit hashes."""
        relation = self.relations[table]
        used = [c for c in self.dtypes[table] if any(c in s for s in sets)]
        rows = f"(SELECT {columns_list(used)} FROM {relation}{f' LIMIT {head}' if head else ''})"
        counts: list[int] = []
        for i in range(0, len(sets), SETS_PER_QUERY):
            part = sets[i : i + SETS_PER_QUERY]
            each = ", ".join(f"count(DISTINCT hash({columns_list(s)}))" for s in part)
            counts += fetch_one(self.connection, f"SELECT {each} FROM {rows}")
        return counts

    def repeated(self, table: str, columns: tuple[str, ...]) -> tuple[str, ...]:
        """The most frequent values that occur more than once; of equals the first."""
        shown = _shown([quote(c) for c in columns])
        found = fetch_all(
            self.connection,
            f"SELECT {shown}, count(*) AS n FROM {self.relations[table]} GROUP BY {columns_list(columns)} "
            f"HAVING n > 1 ORDER BY n DESC, 1 LIMIT {NUM_EXAMPLES}",
        )
        return tuple(r[0] for r in found)

    def num_missing(self, table: str, sql: str) -> int:
        """Rows for which an expression over the table's columns is NULL."""
        (count,) = fetch_one(self.connection, f"SELECT count(*) FILTER (({sql}) IS NULL) FROM {self.relations[table]}")
        return int(count)

    def gap(self, table: str, column: str, sql: str) -> tuple[int, int] | None:
        """Seconds a time column is ahead of another time: 5% and 95% quantile, rounded to quarters of an hour."""
        ahead = f"epoch({quote(column)}) - epoch({sql})"
        (quantiles,) = fetch_one(
            self.connection, f"SELECT quantile_cont({ahead}, [0.05, 0.95]) FROM {self.relations[table]}"
        )
        if quantiles is None or None in quantiles:
            return None
        low, high = (round(q / 900) * 900 for q in quantiles)
        return low, high


def measure_containment(
    connection: duckdb.DuckDBPyConnection,
    relations: Mapping[str, str],
    table: str,
    columns: Sequence[str],
    to_table: str,
    to: Sequence[str],
    *,
    dtypes: Mapping[str, Mapping[str, str]] | None = None,
) -> Containment:
    """Count the rows of `table` whose `columns` are found in columns `to` of `to_table`.

    Rows with a NULL in any of `columns` link nowhere and don't count. A number and a text are compared as texts.

    Args:
        connection: Where the query runs.
        relations: SQL that goes after FROM, for each table.
        table: The table that links.
        columns: Its key columns.
        to_table: The table linked to; may be the same.
        to: The columns of `to_table` that `columns` name, one for one.
        dtypes: DuckDB types by table and column, if known already.

    Returns:
        The counts, with the most frequent values that have no match.
    """
    left, right = relations[table], relations[to_table]
    left_types = dtypes[table] if dtypes else column_types(connection, left)
    right_types = dtypes[to_table] if dtypes else column_types(connection, right)
    child, parent = [], []
    for a, b in zip(columns, to, strict=True):
        as_text = not _comparable(left_types[a], right_types[b])
        child.append(f"CAST({quote(a)} AS VARCHAR)" if as_text else value_sql(a, left_types[a]))
        parent.append(f"CAST({quote(b)} AS VARCHAR)" if as_text else quote(b))
    keys = [f"k{i}" for i in range(len(child))]
    match = " AND ".join(f"c.{k} = p.{k}" for k in keys)
    present = " AND ".join(f"({e}) IS NOT NULL" for e in child)
    shown = _shown(keys)
    num_values, num_missing, examples = fetch_one(
        connection,
        f"""
        WITH c AS (SELECT {_aliased(child, keys)} FROM {left} WHERE {present}),
             p AS (SELECT {_aliased(parent, keys)} FROM {right}),
             missing AS MATERIALIZED (
                 SELECT {", ".join(keys)}, count(*) AS n FROM c ANTI JOIN p ON {match} GROUP BY ALL
             )
        SELECT (SELECT count(*) FROM c),
               (SELECT coalesce(sum(n), 0)::BIGINT FROM missing),
               (SELECT min_by({shown}, (-n, {shown}), {NUM_EXAMPLES}) FROM missing)
        """,
    )
    return Containment(
        table=table,
        columns=tuple(columns),
        to_table=to_table,
        to=tuple(to),
        num_values=num_values,
        num_missing=num_missing,
        examples=tuple(examples or ()),
    )


def unique_together(connection: duckdb.DuckDBPyConnection, relation: str, columns: Sequence[str]) -> bool:
    """Whether no two rows share their values in `columns`; rows with a NULL among them don't count."""
    present = " AND ".join(f"{quote(c)} IS NOT NULL" for c in columns)
    twice = f"SELECT 1 FROM {relation} WHERE {present} GROUP BY {columns_list(columns)} HAVING count(*) > 1"
    (exists,) = fetch_one(connection, f"SELECT EXISTS ({twice})")
    return not exists


def _shown(keys: Sequence[str]) -> str:
    """SQL of one or several values as text."""
    return text_sql(keys[0]) if len(keys) == 1 else "'(' || " + " || ', ' || ".join(map(text_sql, keys)) + " || ')'"


def _aliased(values: Sequence[str], names: Sequence[str]) -> str:
    return ", ".join(f"{v} AS {n}" for v, n in zip(values, names, strict=True))


def _comparable(a: str, b: str) -> bool:
    numbers = ("integer", "float")
    return a == b or (storage_kind(a) in numbers and storage_kind(b) in numbers)
