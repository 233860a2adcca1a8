"""SQL text for DuckDB, built safely: every name passes through `quote`, every text value through `literal`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import duckdb

__all__ = [
    "column_types",
    "columns_list",
    "fetch_all",
    "fetch_one",
    "literal",
    "quote",
    "reason",
    "text_sql",
    "value_sql",
]

MAX_REASON = 400  # characters
TEXT_CHARACTERS = 200


def quote(name: str) -> str:
    """Quote an identifier; a name with quotes, dots or SQL in it stays one name.

    Example:
        >>> print(quote('x"; DROP TABLE y'))
        "x""; DROP TABLE y"
    """
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote a text value.

    Example:
        >>> literal("it's")
        "'it''s'"
    """
    return "'" + text.replace("'", "''") + "'"


def columns_list(names: Iterable[str], *, prefix: str = "") -> str:
    """Quoted names, comma-separated, each behind `prefix` (an alias) if given."""
    dot = f"{prefix}." if prefix else ""
    return ", ".join(dot + quote(n) for n in names)


def fetch_all(connection: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
    """Run a query and return its rows."""
    rows: list[tuple[Any, ...]] = connection.sql(query).fetchall()
    return rows


def fetch_one(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    """Run a query that returns exactly one row."""
    (row,) = fetch_all(connection, query)
    return row


def column_types(connection: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    """Names and DuckDB types of the columns of a relation."""
    return {r[0]: r[1] for r in fetch_all(connection, f"DESCRIBE SELECT * FROM {relation}")}


def value_sql(column: str, dtype: str) -> str:
    """SQL of a column's value, NaN being NULL."""
    c = quote(column)
    return f"CASE WHEN isnan({c}) THEN NULL ELSE {c} END" if dtype in ("FLOAT", "DOUBLE") else c


def text_sql(value: str) -> str:
    """SQL of a value as text, cut at `TEXT_CHARACTERS`."""
    return f"left(CAST({value} AS VARCHAR), {TEXT_CHARACTERS})"


def reason(error: duckdb.Error) -> str:
    """What DuckDB complains of, in one line: without its proposals, pointers into SQL and stack traces.

    Example:
        >>> try:
        ...     duckdb.connect().execute("SELECT x FROM (SELECT 1 AS y)")
        ... except duckdb.Error as e:
        ...     reason(e)
        'Binder Error: Referenced column "x" not found in FROM clause! Candidate bindings: "y"'
    """
    lines = []
    for line in map(str.strip, str(error).splitlines()):
        if line.startswith(("Possible fixes", "Possible Solution", "The search space", "LINE ", "Candidate functions")):
            break
        lines.append(line)
    text = " ".join(filter(None, lines)) or type(error).__name__
    return text if len(text) <= MAX_REASON else text[: MAX_REASON - 4] + " ..."
