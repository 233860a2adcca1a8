"""A DuckDB file as a source. Opened read-only, and only while it is read."""

from __future__ import annotations

import time
from pathlib import Path

import duckdb

from foreknow.errors import SourceError
from foreknow.schema.profile import Declared
from foreknow.schema.table import ForeignKey
from foreknow.source.base import SourceTable
from foreknow.source.sql import fetch_all, fetch_one, literal, quote, reason

__all__ = ["DuckDBSource"]

LOCK_WAIT_S = 5.0  # for a process that writes to let go of the file


class DuckDBSource:
    """Tables and views of a DuckDB file. Those outside schema ``main`` are called ``schema.table``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise SourceError(f"there is no DuckDB file '{path}'", hint="check the path of the source")
        self._where: dict[str, tuple[str, str]] = {}  # schema and own name of each table; both may hold dots

    @property
    def uri(self) -> str:
        """The file's path."""
        return str(self.path)

    def _attach(self, connection: duckdb.DuckDBPyConnection) -> None:
        (attached,) = fetch_one(connection, "SELECT count(*) FROM duckdb_databases() WHERE database_name = 'source'")
        if attached:
            return
        end = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                connection.execute(f"ATTACH {literal(str(self.path))} AS source (READ_ONLY)")
                return
            except duckdb.Error as e:
                why, error = reason(e), e
            if "lock" not in why.lower() or time.monotonic() > end:
                raise self._refusal(why) from error
            time.sleep(0.1)  # predictions are being written, say: that is over in a moment

    def _refusal(self, why: str) -> SourceError:
        if "already attached" in why:
            hint = "this process holds it open: close that connection first"
        elif "lock" in why.lower():
            hint = "another process holds it open for writing: close that one first"
        else:
            hint = "is it a DuckDB file, and of a version this duckdb package can read?"
        return SourceError(f"can't open DuckDB file '{self.path}': {why}", hint=hint)

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
        if not rows:
            raise SourceError(f"there are no tables in '{self.path}'", hint="check the path of the source")
        columns: dict[str, dict[str, str]] = {}
        for schema, table, column, dtype in rows:
            self._where[_name(schema, table)] = schema, table
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
        if table not in self._where:
            self.tables()
        schema, name = self._where[table]
        return f"source.{quote(schema)}.{quote(name)}"


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
