"""Sinks: where prediction tables land. A table that exists is refused before any work is done, unless asked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from foreknow.errors import SinkError
from foreknow.source.sql import fetch_all, quote

__all__ = ["DuckDBSink", "ParquetSink", "Sink", "open_sink"]


class Sink(Protocol):
    """Takes named tables."""

    def check(self, names: list[str], *, overwrite: bool) -> None:
        """Refuse names that exist (unless `overwrite`), and a place that can't be written to.

        Raises:
            SinkError: With all names at once.
        """
        ...

    def write(self, tables: Mapping[str, pa.Table], *, overwrite: bool) -> dict[str, str]:
        """Write all tables or none; returns where each went, as a person would say it."""
        ...


class DuckDBSink:
    """Tables in a DuckDB file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def _connect(self) -> duckdb.DuckDBPyConnection:
        try:
            return duckdb.connect(str(self.path))
        except duckdb.Error as e:
            raise SinkError(
                f"can't write to '{self.path}': {str(e).splitlines()[0]}",
                hint="another process holds the file open: close it, or write to a folder with --to",
            ) from e

    def check(self, names: list[str], *, overwrite: bool) -> None:
        """Open for writing and look the names up."""
        with self._connect() as connection:
            rows = fetch_all(
                connection,
                "SELECT table_name, estimated_size FROM duckdb_tables() WHERE schema_name = 'main' "
                "UNION ALL SELECT view_name, 0 FROM duckdb_views() WHERE schema_name = 'main' AND NOT internal",
            )
        existing = {name.lower(): size for name, size in rows}
        _refuse([f"{n} ({existing[n.lower()]:,} rows)" for n in names if n.lower() in existing], self.path, overwrite)

    def write(self, tables: Mapping[str, pa.Table], *, overwrite: bool) -> dict[str, str]:
        """Create all tables in one transaction."""
        create = "CREATE OR REPLACE TABLE" if overwrite else "CREATE TABLE"
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
        return {name: f"table {name} in {self.path}" for name in tables}


class ParquetSink:
    """Parquet files in a folder, one per table."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _path(self, name: str) -> Path:
        if Path(name).name != name or name.startswith("."):
            raise SinkError(f"'{name}' is no name for a file", hint="use letters, digits and underscores")
        return self.folder / f"{name}.parquet"

    def check(self, names: list[str], *, overwrite: bool) -> None:
        """Look for files of these names."""
        _refuse([self._path(n).name for n in names if self._path(n).exists()], self.folder, overwrite)

    def write(self, tables: Mapping[str, pa.Table], *, overwrite: bool) -> dict[str, str]:
        """Write beside, then rename."""
        self.check(list(tables), overwrite=overwrite)
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = {name: self.folder / f".{name}.{os.getpid()}" for name in tables}
        try:
            for name, table in tables.items():
                pq.write_table(table, temporary[name])
            for name in tables:
                os.replace(temporary[name], self._path(name))
        except OSError as e:
            raise SinkError(f"can't write to '{self.folder}': {e}") from e
        finally:
            for path in temporary.values():
                path.unlink(missing_ok=True)
        return {name: str(self._path(name)) for name in tables}


def open_sink(path: Path) -> Sink:
    """The sink for a place: a folder takes Parquet files, anything else is a DuckDB file."""
    return ParquetSink(path) if path.is_dir() or not path.suffix else DuckDBSink(path)


def _refuse(existing: list[str], where: Path, overwrite: bool) -> None:
    if existing and not overwrite:
        raise SinkError(
            f"{', '.join(existing)} exists already in '{where}' and is left as it is",
            hint="choose another name with --into, or replace it with --overwrite",
        )
