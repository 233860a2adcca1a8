"""The snapshot: every table staged once to Parquet, with a fingerprint of its content.

Everything after this file reads only the snapshot. A table is staged again only if its source may have changed
(its signature differs) or its derived columns did. The fingerprint says whether the rows really differ: it is a
sum of row hashes, the same whatever the order of the rows, and names the graph store built from them.

Layout, below the workspace::

    snapshots/<source>/<table>-<key>.parquet    rows, derived columns included
    snapshots/<source>/<table>-<key>.json       row count, columns, fingerprint

``<key>`` hashes the table's signature and derived columns. The two newest versions of a table are kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import duckdb

from foreknow.errors import SchemaError, SourceError, StoreError, did_you_mean
from foreknow.source.base import Source
from foreknow.source.duckdb import DuckDBSource
from foreknow.source.files import FolderSource
from foreknow.source.sql import fetch_all, fetch_one, literal, quote, reason

__all__ = ["Snapshot", "StagedTable", "open_source", "stage"]

FORMAT = 1  # of the sidecar files
KEEP = 2  # versions of a table kept on disk

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class StagedTable:
    """One table of the snapshot. ``columns`` maps names to DuckDB types, derived ones last."""

    name: str
    path: Path
    num_rows: int
    columns: Mapping[str, str]
    fingerprint: str

    @property
    def relation(self) -> str:
        """SQL that goes after FROM."""
        return f"read_parquet({literal(str(self.path))}, hive_partitioning = false)"

    @property
    def numbered_relation(self) -> str:
        """As `relation`, with column ``file_row_number``, from 0."""
        return f"read_parquet({literal(str(self.path))}, hive_partitioning = false, file_row_number = true)"


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A consistent copy of the tables of a project."""

    uri: str
    tables: Mapping[str, StagedTable] = field(default_factory=dict)

    def __getitem__(self, table: str) -> StagedTable:
        if table not in self.tables:
            raise SourceError(f"'{self.uri}' has no table '{table}'", hint=did_you_mean(table, self.tables, "tables"))
        return self.tables[table]

    @property
    def fingerprint(self) -> str:
        """Of all tables together: 16 hexadecimal digits."""
        parts = [f"{t.name}={t.fingerprint}" for t in sorted(self.tables.values(), key=lambda t: t.name)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    def connect(self) -> duckdb.DuckDBPyConnection:
        """A fresh in-memory DuckDB in which every table is a view of its own name. Times are UTC."""
        connection = _connect()
        for t in self.tables.values():
            schema, _, name = t.name.rpartition(".")
            if schema:
                connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quote(schema)}")
                connection.execute(f"CREATE VIEW {quote(t.name)} AS FROM {t.relation}")  # or its name holds a dot
            connection.execute(f"CREATE VIEW {quote(schema or 'main')}.{quote(name)} AS FROM {t.relation}")
        return connection


def open_source(uri: str, *, base: Path | None = None) -> Source:
    """Open the source a person named: a DuckDB file, a folder of CSV or Parquet files, or one such file.

    Args:
        uri: What the person wrote; relative paths are relative to `base`.
        base: Folder of the project file; the working directory if not given.

    Raises:
        SourceError: Nothing is there, or of no kind that can be read.
    """
    if "://" in uri:
        scheme = uri.split("://", 1)[0]
        raise SourceError(
            f"sources of kind '{scheme}' can't be read by this version",
            hint="give a DuckDB file or a folder of CSV or Parquet files",
        )
    path = Path(uri).expanduser()
    path = path if path.is_absolute() else (base or Path.cwd()) / path
    if path.is_dir() or path.name.lower().endswith((".csv", ".tsv", ".gz", ".zst", ".parquet")):
        return FolderSource(path)
    return DuckDBSource(path)


def stage(
    source: Source,
    workspace: Path,
    *,
    tables: Iterable[str] | None = None,
    derived: Mapping[str, Mapping[str, str]] | None = None,
    progress: Progress | None = None,
) -> Snapshot:
    """Copy tables to Parquet, or find that they are there already.

    Args:
        source: Where the rows are.
        workspace: Folder under which snapshots live.
        tables: Names to stage; all of the source if not given.
        derived: SQL of derived columns by table and column; they may use the table's own columns.
        progress: Called with one line per table that is really read.

    Raises:
        SourceError: A table is missing or can't be read.
        SchemaError: A derived column's SQL is wrong.
    """
    available = source.tables()
    names = list(available) if tables is None else list(tables)
    unknown = [n for n in names if n not in available]
    if unknown:
        raise SourceError(
            f"{len(unknown)} table(s) are not in '{source.uri}': {', '.join(map(repr, unknown))}",
            hint=did_you_mean(unknown[0], available, "tables"),
        )
    tag = hashlib.sha256(str(Path(source.uri).resolve()).encode()).hexdigest()[:8]
    folder = workspace / "snapshots" / f"{_slug(Path(source.uri).stem)}-{tag}"
    folder.mkdir(parents=True, exist_ok=True)
    staged = {}
    with ExitStack() as stack:
        # One connection for all tables, and only if one is read: making it takes longer than reading a small table.
        connect = cache(lambda: stack.enter_context(_connect()))
        for name in names:
            staged[name] = _stage_table(source, name, folder, dict((derived or {}).get(name, {})), progress, connect)
    return Snapshot(uri=source.uri, tables=staged)


def resign(source: Source, workspace: Path, before: Mapping[str, str]) -> None:
    """Tell the snapshot that Foreknow itself changed the source's file, not its tables.

    Writing a prediction table into a DuckDB file changes the file's signature; without this every table would be
    staged again.

    Args:
        source: The source after the change.
        workspace: As in `stage`.
        before: Signature of each table just before the change.
    """
    tag = hashlib.sha256(str(Path(source.uri).resolve()).encode()).hexdigest()[:8]
    folder = workspace / "snapshots" / f"{_slug(Path(source.uri).stem)}-{tag}"
    for sidecar in sorted(folder.glob("*.json")):
        meta = json.loads(sidecar.read_text())
        if before.get(meta["name"]) != meta["signature"]:
            continue
        signature = source.signature(meta["name"])
        stem = _stem(meta["name"], signature, meta["derived"])
        if folder / f"{stem}.json" == sidecar:
            continue
        os.replace(sidecar.with_suffix(".parquet"), folder / f"{stem}.parquet")
        _write_json(folder / f"{stem}.json", {**meta, "signature": signature})
        sidecar.unlink()


def _connect() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def _stage_table(
    source: Source,
    name: str,
    folder: Path,
    derived: dict[str, str],
    progress: Progress | None,
    connect: Callable[[], duckdb.DuckDBPyConnection],
) -> StagedTable:
    signature = source.signature(name)
    stem = _stem(name, signature, derived)
    path, sidecar = folder / f"{stem}.parquet", folder / f"{stem}.json"
    if sidecar.exists() and path.exists():
        meta = json.loads(sidecar.read_text())
        if meta.get("format") != FORMAT:
            raise StoreError(
                f"the snapshot '{sidecar.name}' is of format {meta.get('format')}, this version reads {FORMAT}",
                hint=f"delete '{folder}'; it will be staged again",
            )
        return _staged(name, path, meta)
    if progress is not None:
        progress(f"reading {name}")
    temporary = folder / f".{stem}.{os.getpid()}.parquet"
    try:
        num_rows, columns, fingerprint = _copy(connect(), source, name, derived, temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    meta = {
        "format": FORMAT,
        "name": name,
        "num_rows": num_rows,
        "columns": columns,
        "fingerprint": fingerprint,
        "signature": signature,
        "derived": derived,
    }
    _write_json(sidecar, meta)
    _drop_old(folder, name)
    return _staged(name, path, meta)


def _copy(
    connection: duckdb.DuckDBPyConnection, source: Source, name: str, derived: dict[str, str], path: Path
) -> tuple[int, dict[str, str], str]:
    """Write one table to `path`; return row count, columns and fingerprint."""
    first: duckdb.Error | None = None
    while True:
        try:
            relation = source.relation(name, connection)
        except SourceError as e:
            if first is None:
                raise
            raise SourceError(f"table '{name}': can't read it: {reason(first)}") from e  # says more: the line
        added = "".join(f", ({sql}\n) AS {quote(column)}" for column, sql in derived.items())
        try:
            own = [r[0] for r in fetch_all(connection, f"DESCRIBE SELECT * FROM {relation}")]
            _check_names(name, own)
            _check_derived(connection, relation, name, own, derived)
            connection.execute(f"COPY (SELECT *{added} FROM {relation}) TO {literal(str(path))} (FORMAT parquet)")
            break
        except duckdb.Error as e:
            if isinstance(source, FolderSource) and source.widen(name):
                first = e
                continue
            if derived:
                raise SchemaError(f"table '{name}': can't stage it: {reason(e)}") from e
            raise SourceError(f"table '{name}': can't read it: {reason(e)}") from e
    staged = f"read_parquet({literal(str(path))}, hive_partitioning = false)"
    columns = {r[0]: r[1] for r in fetch_all(connection, f"DESCRIBE SELECT * FROM {staged}")}
    hashed = ", ".join(_hashed(c, d) for c, d in columns.items())
    row = fetch_one(connection, f"SELECT count(*), coalesce(sum(hash({hashed})::HUGEINT), 0) FROM {staged}")
    layout = json.dumps([columns, int(row[0]), str(row[1])])
    return int(row[0]), columns, hashlib.sha256(layout.encode()).hexdigest()[:16]


def _hashed(column: str, dtype: str) -> str:
    """SQL of what the fingerprint hashes. DuckDB's hash of a list forgets its length, and whether it is NULL."""
    c = quote(column)
    is_list = dtype.endswith("]")
    if dtype.startswith(("STRUCT", "MAP")) or (is_list and dtype.rpartition("[")[0].endswith("]")):
        return f"{c}::VARCHAR"
    return f"{c}, len({c})" if is_list else c


def _check_names(table: str, columns: list[str]) -> None:
    if "file_row_number" in map(str.lower, columns):
        raise SourceError(
            f"table '{table}': a column can't be called 'file_row_number', which is DuckDB's own",
            hint="rename it in the source",
        )


def _check_derived(
    connection: duckdb.DuckDBPyConnection, relation: str, table: str, own: list[str], derived: dict[str, str]
) -> None:
    problems = []
    taken = {c.lower() for c in own}  # SQL names differ by more than case
    for column, sql in derived.items():
        if column.lower() in taken:
            problems.append(f"column '{column}' exists already; derive it under another name")
            continue
        taken.add(column.lower())
        if not sql.strip():
            problems.append(f"column '{column}': its SQL is empty")
            continue
        try:
            fetch_all(connection, f"DESCRIBE SELECT ({sql}\n) FROM {relation}")
        except duckdb.Error as e:
            problems.append(f"column '{column}': {reason(e)}")
    if problems:
        raise SchemaError(
            f"table '{table}': {len(problems)} derived column(s) can't be computed:\n- " + "\n- ".join(problems)
        )


def _staged(name: str, path: Path, meta: Mapping[str, Any]) -> StagedTable:
    return StagedTable(
        name=name,
        path=path,
        num_rows=meta["num_rows"],
        columns=meta["columns"],
        fingerprint=meta["fingerprint"],
    )


def _stem(name: str, signature: str, derived: Mapping[str, str]) -> str:
    key = json.dumps([name, signature, dict(derived)], sort_keys=True)
    return f"{_slug(name)}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:60] or "_"


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(value, indent=1))
    os.replace(temporary, path)


def _drop_old(folder: Path, name: str) -> None:
    versions = []
    for sidecar in folder.glob("*.json"):
        if json.loads(sidecar.read_text()).get("name") == name:
            versions.append((sidecar.stat().st_mtime_ns, sidecar))
    for _, sidecar in sorted(versions)[:-KEEP]:
        sidecar.with_suffix(".parquet").unlink(missing_ok=True)
        sidecar.unlink(missing_ok=True)
