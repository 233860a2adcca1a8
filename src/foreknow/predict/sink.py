"""Sinks: where prediction tables land. A table that exists is refused before any work is done, unless asked.

Even if asked, only tables that hold predictions are replaced: a slip of the pen must not cost a table of data.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from foreknow.errors import SinkError
from foreknow.predict.table import LINEAGE
from foreknow.source.sql import fetch_all, quote

__all__ = ["DuckDBSink", "ParquetSink", "Sink", "open_sink"]

LOCK_WAIT_S = 5.0  # for another process to let go of a file
DUCKDB_SUFFIXES = (".duckdb", ".ddb", ".db")


class Sink(Protocol):
    """Takes named tables."""

    def check(self, names: list[str], *, overwrite: bool) -> None:
        """Refuse names that exist (unless `overwrite`, and they hold predictions), and a place that can't be written.

        Raises:
            SinkError: With all names at once.
        """
        ...

    def write(self, tables: Mapping[str, pa.Table], *, overwrite: bool) -> dict[str, str]:
        """Write all tables or none; returns where each went, as a person would say it."""
        ...


class DuckDBSink:
    """Tables in a DuckDB file, which is made if new."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def _connect(self) -> duckdb.DuckDBPyConnection:
        end = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                return duckdb.connect(str(self.path))
            except duckdb.Error as e:
                first, error = str(e).splitlines()[0], e
            if "lock" not in first.lower() or time.monotonic() > end:
                raise self._refusal(first) from error
            time.sleep(0.1)  # somebody reads it: that is over in a moment, and hours of training may hang on it

    def _refusal(self, first: str) -> SinkError:
        hint = (
            "another process holds the file open: close it, or write to a folder with --to"
            if "lock" in first.lower()
            else "may the file be written, and is it a DuckDB file? Else write to a folder with --to"
        )
        return SinkError(f"can't write to '{self.path}': {first}", hint=hint)

    def check(self, names: list[str], *, overwrite: bool) -> None:
        """Open for writing and look the names up."""
        for name in names:
            if not name.strip():
                raise SinkError(f"'{name}' is no name for a table", hint="e.g. --into PREDICTIONS_CHURN")
        if not self.path.exists():
            _check_folder(self.path.parent, self.path)
            return
        with self._connect() as connection:
            rows = fetch_all(
                connection,
                """SELECT t.table_name, t.estimated_size, list(lower(c.column_name))
                   FROM duckdb_tables() t JOIN duckdb_columns() c USING (database_name, schema_name, table_name)
                   WHERE t.schema_name = 'main' AND NOT t.internal GROUP BY ALL
                   UNION ALL SELECT view_name, NULL, [] FROM duckdb_views() WHERE schema_name = 'main' AND NOT internal
                """,
            )
        existing = {name.lower(): (size, columns) for name, size, columns in rows}
        found = {n: existing[n.lower()] for n in names if n.lower() in existing}
        _refuse(
            {
                n + (" (a view)" if size is None else f" ({size:,} rows)"): columns
                for n, (size, columns) in found.items()
            },
            self.path,
            overwrite,
        )

    def write(self, tables: Mapping[str, pa.Table], *, overwrite: bool) -> dict[str, str]:
        """Create all tables in one transaction."""
        create = "CREATE OR REPLACE TABLE" if overwrite else "CREATE TABLE"
        self.check(list(tables), overwrite=overwrite)
        with self._connect() as connection:
            connection.execute("BEGIN")
            try:
                for i, (name, table) in enumerate(tables.items()):
                    connection.register(f"foreknow_new_{i}", table)
                    connection.execute(f"{create} {quote(name)} AS SELECT * FROM foreknow_new_{i}")
                    connection.unregister(f"foreknow_new_{i}")
                connection.execute("COMMIT")
            except duckdb.Error as e:
                connection.execute("ROLLBACK")
                raise SinkError(f"can't write to '{self.path}': {str(e).splitlines()[0]}; nothing was changed") from e
        return {name: f"table {name} in {self.path} ({table.num_rows:,} rows)" for name, table in tables.items()}


class ParquetSink:
    """Parquet files in a folder, one per table. The folder is made if new."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _path(self, name: str) -> Path:
        if not name.strip() or Path(name).name != name or name.startswith("."):
            raise SinkError(f"'{name}' is no name for a file", hint="use letters, digits and underscores")
        return self.folder / f"{name}.parquet"

    def check(self, names: list[str], *, overwrite: bool) -> None:
        """Look for files of these names."""
        found = {self._path(n).name: self._path(n) for n in names if self._path(n).exists()}
        _refuse({name: _columns(path) for name, path in found.items()}, self.folder, overwrite)
        at = next((p for p in (self.folder, *self.folder.parents) if p.exists()), Path("."))
        _check_folder(at, self.folder)

    def write(self, tables: Mapping[str, pa.Table], *, overwrite: bool) -> dict[str, str]:
        """Write beside, then rename."""
        self.check(list(tables), overwrite=overwrite)
        temporary = {name: self.folder / f".{name}.{os.getpid()}" for name in tables}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for name, table in tables.items():
                pq.write_table(table, temporary[name])
            for name in tables:
                os.replace(temporary[name], self._path(name))
        except OSError as e:
            raise SinkError(f"can't write to '{self.folder}': {e}") from e
        finally:
            for path in temporary.values():
                path.unlink(missing_ok=True)
        return {name: f"{self._path(name)} ({table.num_rows:,} rows)" for name, table in tables.items()}


def open_sink(path: Path) -> Sink:
    """The sink for a place: an existing file is a DuckDB file, a name that ends like one becomes one, else a folder.

    Raises:
        SinkError: The name says that something else is meant.
    """
    if path.is_file() or (path.suffix.lower() in DUCKDB_SUFFIXES and not path.is_dir()):
        return DuckDBSink(path)
    if path.suffix and not path.is_dir():
        raise SinkError(
            f"'{path}' is neither a DuckDB file nor a folder",
            hint=f"name a file that ends in {DUCKDB_SUFFIXES[0]}, or a folder: there each table is a Parquet file",
        )
    return ParquetSink(path)


def _columns(path: Path) -> list[str]:
    try:
        return [name.lower() for name in pq.read_schema(path).names]
    except (pa.ArrowException, OSError):  # no Parquet file, whatever its name says
        return []


def _check_folder(folder: Path, wanted: Path) -> None:
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise SinkError(f"can't write to '{wanted}': '{folder}' is no folder that may be written to")


def _refuse(existing: Mapping[str, Iterable[str]], where: Path, overwrite: bool) -> None:
    """Raise if one of these tables, given with their columns, must stay."""
    if not overwrite and existing:
        raise SinkError(
            f"{', '.join(existing)} exists already in '{where}' and is left as it is",
            hint="choose another name with --into, or replace it with --overwrite",
        )
    data = [name for name, columns in existing.items() if not set(LINEAGE) <= set(columns)]
    if data:
        raise SinkError(
            f"{', '.join(data)} in '{where}' doesn't hold predictions and is left as it is",
            hint="choose another name with --into; drop it yourself if it is not needed",
        )
