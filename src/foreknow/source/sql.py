"""SQL text for DuckDB, built safely: every name passes through `quote`, every text value through `literal`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import duckdb

__all__ = ["columns_list", "fetch_all", "fetch_one", "literal", "quote"]


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
