"""The protocol every kind of source fulfils.

A source is named by text (a path, later a connection string) and can list its tables without reading rows,
say cheaply whether a table may have changed, and offer each table to a DuckDB connection as a relation.
It never writes; predictions leave through ``predict/sink.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import duckdb

from foreknow.schema.profile import Declared

__all__ = ["Source", "SourceTable"]


@dataclass(frozen=True, kw_only=True)
class SourceTable:
    """A table as its source declares it: column names with DuckDB types, and constraints."""

    name: str
    columns: Mapping[str, str]
    declared: Declared = field(default_factory=Declared)


class Source(Protocol):
    """Where tables come from."""

    @property
    def uri(self) -> str:
        """The text a person names the source by; never holds a secret."""
        ...

    def tables(self) -> dict[str, SourceTable]:
        """All tables, by name. Reads no rows (text files are sniffed).

        Raises:
            SourceError: The source can't be opened.
        """
        ...

    def signature(self, table: str) -> str:
        """A text that changes whenever the table's rows may have changed. Cheap: reads no rows."""
        ...

    def relation(self, table: str, connection: duckdb.DuckDBPyConnection) -> str:
        """Make `table` readable in `connection` and return the SQL that goes after FROM."""
        ...
