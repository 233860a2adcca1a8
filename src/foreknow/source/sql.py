"""SQL text for DuckDB, built safely: every name passes through `quote`, every text value through `literal`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import duckdb

__all__ = ["columns_list", "fetch_all", "fetch_one", "literal", "quote", "reason"]

MAX_REASON = 400  # characters


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
