"""A DuckDB file as a source. Opened read-only, and only while it is read."""

from __future__ import annotations

from pathlib import Path

import duckdb

from foreknow.errors import SourceError
from foreknow.schema.profile import Declared
from foreknow.schema.table import ForeignKey
from foreknow.source.base import SourceTable
from foreknow.source.sql import fetch_all, fetch_one, literal, quote

__all__ = ["DuckDBSource"]


class DuckDBSource:
    """Tables and views of a DuckDB file. Those outside schema ``main`` are called ``schema.table``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise SourceError(f"there is no DuckDB file '{path}'", hint="check the path of the source")

    @property
    def uri(self) -> str:
        """The file's path."""
        return str(self.path)

    def _attach(self, connection: duckdb.DuckDBPyConnection) -> None:
        (attached,) = fetch_one(connection, "SELECT count(*) FROM duckdb_databases() WHERE database_name = 'source'")
        if attached:
            return
        try:
            connection.execute(f"ATTACH {literal(str(self.path))} AS source (READ_ONLY)")
        except duckdb.Error as e:
            first = str(e).splitlines()[0]
            locked = "lock" in first.lower()
            raise SourceError(
                f"can't open DuckDB file '{self.path}': {first}",
                hint="another process holds it open for writing: close that one first"
                if locked
                else "is it a DuckDB file, and of a version this duckdb package can read?",
            ) from e

    def tables(self) -> dict[str, SourceTable]:
        """All tables and views with their columns and declared keys."""
        with duckdb.connect() as connection:
            self._attach(connection)
            rows = fetch_all(
                connection,
                """SELECT schema_name, table_name, column_name, data_type FROM duckdb_columns()
                   WHERE database_name = 'source' AND NOT internal
                   ORDER BY schema_name <> 'main', schema_name, table_name, column_index""",
            )
            constraints = fetch_all(
                connection,
                """SELECT schema_name, table_name, constraint_type, constraint_column_names,
                          referenced_table, referenced_column_names
                   FROM duckdb_constraints() WHERE database_name = 'source'
                     AND constraint_type IN ('PRIMARY KEY', 'UNIQUE', 'FOREIGN KEY')""",
            )
        columns: dict[str, dict[str, str]] = {}
        for schema, table, column, dtype in rows:
            columns.setdefault(_name(schema, table), {})[column] = dtype
        declared: dict[str, Declared] = {}
        for schema, table, kind, names, target, target_names in constraints:
            name = _name(schema, table)
            old = declared.get(name, Declared())
            key = tuple(names)
            if kind == "PRIMARY KEY":
                new = Declared(primary_key=key, unique=old.unique, foreign_keys=old.foreign_keys)
            elif kind == "UNIQUE":
                new = Declared(primary_key=old.primary_key, unique=(*old.unique, key), foreign_keys=old.foreign_keys)
            else:
                link = ForeignKey(columns=key, table=_name(schema, target), to=tuple(target_names))
                new = Declared(primary_key=old.primary_key, unique=old.unique, foreign_keys=(*old.foreign_keys, link))
            declared[name] = new
        return {
            name: SourceTable(name=name, columns=cols, declared=declared.get(name, Declared()))
            for name, cols in columns.items()
        }

    def signature(self, table: str) -> str:
        """Size and time of the file and of its write-ahead log; the same for every table."""
        return file_signature(self.path, self.path.with_name(self.path.name + ".wal"))

    def relation(self, table: str, connection: duckdb.DuckDBPyConnection) -> str:
        """Attach the file and return the table's qualified name."""
        self._attach(connection)
        schema, _, name = table.rpartition(".")
        return f"source.{quote(schema or 'main')}.{quote(name)}"


def _name(schema: str, table: str) -> str:
    return table if schema == "main" else f"{schema}.{table}"


def file_signature(*paths: Path) -> str:
    """Size and modification time of files, missing ones left out: changes when a file may have changed."""
    parts = []
    for path in paths:
        if path.exists():
            stat = path.stat()
            parts.append(f"{path.name}:{stat.st_size}:{stat.st_mtime_ns}")
    return "|".join(parts)
