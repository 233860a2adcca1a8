"""From key values to row numbers, in DuckDB: any number of columns, any type, rows larger than memory.

Row numbers here are positions in the staged file; the graph store renumbers rows by time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa

from foreknow.source.snapshot import StagedTable
from foreknow.source.sql import columns_list, fetch_all, fetch_one, quote
from foreknow.types import NO_ROW

__all__ = ["KeyMatch", "is_compatible", "match_rows", "read_keys"]

_INTEGERS = (
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
)
_FLOATS = ("FLOAT", "DOUBLE")


@dataclass(frozen=True, kw_only=True)
class KeyMatch:
    """Where key values point to.

    ``row`` has one entry per looked-up row: the file row of the first match, `NO_ROW` if a value is missing (NULL or
    NaN) or unknown. ``num_dangling`` counts rows that have a value and match nothing; ``examples`` are a few of those
    values as text.
    """

    row: np.ndarray
    num_null: int
    num_dangling: int
    examples: tuple[str, ...] = ()


def is_compatible(dtype: str, key_dtype: str) -> bool:
    """Whether values of one DuckDB type can name keys of another without guessing.

    Integers of any width match integers, and whole-number floats match integers (missing values often turned them
    into floats). Text never matches numbers: ``'007'`` and ``7`` may be different things.

    Example:
        >>> is_compatible("DOUBLE", "BIGINT"), is_compatible("VARCHAR", "BIGINT")
        (True, False)
    """
    numbers = (*_INTEGERS, *_FLOATS)
    if _family(dtype) in numbers and _family(key_dtype) in numbers:
        return True
    return _family(dtype) == _family(key_dtype)


def _family(dtype: str) -> str:
    return "DOUBLE" if dtype.startswith("DECIMAL") else dtype


def match_rows(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    num_rows: int,
    columns: Sequence[str],
    parent: StagedTable,
    key: Sequence[str],
    *,
    num_examples: int = 3,
) -> KeyMatch:
    """Find the parent row of every row of a relation.

    Args:
        connection: Any DuckDB connection.
        relation: SQL after FROM with a column ``file_row_number`` counting from 0.
        num_rows: Rows of the relation.
        columns: The columns holding key values.
        parent: The table they point into.
        key: Its key columns, in the order of `columns`. If a key occurs twice, its first row is taken.
        num_examples: How many dangling values to return.
    """
    dtypes = {r[0]: r[1] for r in fetch_all(connection, f"DESCRIBE SELECT {columns_list(columns)} FROM {relation}")}
    names = [f"k{i}" for i in range(len(key))]  # columns may have any name, that of a row number too
    on = " AND ".join(f"c.{k} = p.{k}" for k in names)
    given = " AND ".join(_is_given(c, dtypes[c]) for c in columns)
    values = ", ".join(f"{quote(c)} AS {k}" for c, k in zip(columns, names, strict=True))
    children = f"(SELECT file_row_number AS child_row, {values} FROM {relation} WHERE {given})"
    values = ", ".join(f"{quote(c)} AS {k}" for c, k in zip(key, names, strict=True))
    parents = f"(SELECT {values}, min(file_row_number) AS parent_row FROM {parent.numbered_relation} GROUP BY ALL)"
    row = np.full(num_rows, NO_ROW, np.int32)
    reader = connection.sql(
        f"SELECT c.child_row::BIGINT, p.parent_row::INTEGER FROM {children} c JOIN {parents} p ON {on}"
    ).to_arrow_reader(1_000_000)
    for batch in reader:
        row[batch.column(0).to_numpy()] = batch.column(1).to_numpy()
    (num_given,) = fetch_one(connection, f"SELECT count(*) FROM {children}")
    num_dangling = num_given - int((row != NO_ROW).sum())
    examples: tuple[str, ...] = ()
    if num_dangling:
        shown = ", ".join(f"{k}::VARCHAR" for k in names)
        found = fetch_all(
            connection,
            f"SELECT DISTINCT {shown} FROM {children} c ANTI JOIN {parents} p ON {on} "
            f"ORDER BY ALL LIMIT {num_examples}",
        )
        examples = tuple(r[0] if len(r) == 1 else "(" + ", ".join(r) + ")" for r in found)
    return KeyMatch(row=row, num_null=num_rows - num_given, num_dangling=num_dangling, examples=examples)


def _is_given(column: str, dtype: str) -> str:
    """SQL for whether a row has a value; NaN is how floats spell a missing one."""
    c = quote(column)
    return f"{c} IS NOT NULL AND NOT isnan({c})" if dtype in _FLOATS else f"{c} IS NOT NULL"


def read_keys(connection: duckdb.DuckDBPyConnection, table: StagedTable, key: Sequence[str]) -> pa.Table:
    """The key columns of a staged table, in file order."""
    names = ", ".join(quote(k) for k in key)
    return connection.sql(f"SELECT {names} FROM {table.relation}").to_arrow_table()
