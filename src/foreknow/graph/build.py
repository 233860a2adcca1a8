"""From snapshot to graph store. Streams rows in batches; never holds a whole table of text."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from foreknow.errors import Finding, SchemaError
from foreknow.graph.adjacency import build_reverse
from foreknow.graph.columns import BATCH_ROWS, write_columns
from foreknow.graph.store import FORMAT, GraphStore
from foreknow.schema.table import Schema, Table
from foreknow.source.keys import is_compatible, match_rows
from foreknow.source.snapshot import Snapshot, StagedTable
from foreknow.source.sql import literal, quote
from foreknow.source.time import is_instant, seconds_sql
from foreknow.types import NEVER, NO_ROW

__all__ = ["build_graph"]

MAX_ROWS = (1 << 31) - 1  # row ids are int32
KEEP = 3  # stores kept per project


def build_graph(
    snapshot: Snapshot,
    schema: Schema,
    workspace: Path,
    *,
    key_features: Sequence[str] = (),
    progress: Callable[[str], None] | None = None,
) -> GraphStore:
    """Build the store of a snapshot under a schema, or open it if it is there already.

    Args:
        snapshot: Rows; holds every table of the schema.
        schema: What they mean.
        workspace: Folder under which stores live.
        key_features: Tables whose primary key is kept as a category too (learnable embeddings per row).
        progress: Called with one line per table and link.

    Raises:
        SchemaError: A link joins columns of different kinds, a time column is no time, or a table is too large.
    """
    used = Snapshot(uri=snapshot.uri, tables={t.name: snapshot[t.name] for t in schema})
    identity = json.dumps([FORMAT, used.fingerprint, schema.to_dict(), sorted(key_features)], sort_keys=True)
    key = hashlib.sha256(identity.encode()).hexdigest()[:16]
    home = workspace / "graphs"
    folder = home / key
    if (folder / "manifest.json").exists():
        os.utime(folder)
        return GraphStore.open(folder)
    _check(schema, used)
    temporary = home / f".{key}.{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        _write(temporary, used, schema, key_features, progress or (lambda _: None))
        try:
            temporary.rename(folder)
        except OSError:  # another process was quicker
            if not (folder / "manifest.json").exists():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    stores = sorted((p for p in home.iterdir() if not p.name.startswith(".")), key=lambda p: p.stat().st_mtime)
    for old in stores[:-KEEP]:
        shutil.rmtree(old, ignore_errors=True)
    return GraphStore.open(folder)


def _check(schema: Schema, snapshot: Snapshot) -> None:
    problems: list[Finding] = []
    for t in schema:
        staged = snapshot[t.name]
        if staged.num_rows > MAX_ROWS:
            problems.append(
                Finding(
                    name="too-many-rows",
                    table=t.name,
                    message=f"{staged.num_rows:,} rows, at most {MAX_ROWS:,}",
                )
            )
        if t.time_column is not None and not is_instant(staged.columns[t.time_column]):
            problems.append(
                Finding(
                    name="time-type",
                    table=t.name,
                    column=t.time_column,
                    message=f"the time column is {staged.columns[t.time_column]}, not a date or timestamp",
                    hint='derive one: columns: {happened: {sql: "to_timestamp(seconds)"}} and time: happened',
                )
            )
        for fk in t.foreign_keys:
            target = snapshot[fk.table]
            for column, key in zip(fk.columns, schema.key_of(fk), strict=True):
                a, b = staged.columns[column], target.columns[key]
                if not is_compatible(a, b):
                    problems.append(
                        Finding(
                            name="key-type",
                            table=t.name,
                            column=column,
                            message=f"it is {a} but links to {fk.table}.{key}, which is {b}",
                            hint=f"link a derived column of the same type: columns: {{{_yaml(f'{column}_key')}: "
                            f"{{sql: {literal(f'CAST({quote(column)} AS {b})')}}}}}",
                        )
                    )
    if problems:
        raise SchemaError(
            f"the graph can't be built: {len(problems)} problem(s).\n" + "\n".join(f"- {p}" for p in problems),
            findings=problems,
        )


def _yaml(name: str) -> str:
    return name if name.isidentifier() else literal(name)  # YAML doubles single quotes as SQL does


def _write(
    folder: Path,
    snapshot: Snapshot,
    schema: Schema,
    key_features: Sequence[str],
    progress: Callable[[str], None],
) -> None:
    findings: list[Finding] = []
    tables: dict[str, dict[str, Any]] = {}
    positions: dict[str, np.ndarray | None] = {}
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET arrow_large_buffer_size = true")  # a batch may hold more than 2 GB of text
        for i, table in enumerate(schema):
            staged = snapshot[table.name]
            progress(f"encoding {table.name} ({staged.num_rows:,} rows)")
            at = folder / str(i)
            at.mkdir()
            position = _write_time(connection, table, staged, at, findings)
            positions[table.name] = position
            layout, found = write_columns(
                connection,
                table,
                staged,
                position,
                at,
                key_features=table.primary_key[:1] if table.name in key_features else (),
            )
            findings += found
            tables[table.name] = {
                "num_rows": staged.num_rows,
                "timed": table.time_column is not None,
                "reordered": position is not None,
                "columns": layout,
            }
        connection.execute("SET preserve_insertion_order = false")  # links are scattered, order is no matter
        (folder / "fk").mkdir()
        (folder / "rev").mkdir()
        e = 0
        for table in schema:
            for fk in table.foreign_keys:
                progress(f"linking {table.name}.{fk.name} to {fk.table}")
                staged, target = snapshot[table.name], snapshot[fk.table]
                match = match_rows(
                    connection,
                    staged.numbered_relation,
                    staged.num_rows,
                    fk.columns,
                    target,
                    schema.key_of(fk),
                )
                if match.num_dangling:
                    findings.append(
                        Finding(
                            name="dangling-links",
                            severity="warning",
                            table=table.name,
                            column=fk.name,
                            count=match.num_dangling,
                            message=f"{match.num_dangling:,} of {staged.num_rows:,} values have no row in "
                            f"'{fk.table}' (e.g. {', '.join(match.examples)}); these links count as absent",
                            hint=f"load the missing rows of '{fk.table}' if they exist",
                        )
                    )
                parent = _renumber(match.row, positions[table.name], positions[fk.table])
                np.save(folder / "fk" / f"{e}.npy", parent)
                pointer, child = build_reverse(parent, target.num_rows)
                np.save(folder / "rev" / f"{e}.ptr.npy", pointer)
                np.save(folder / "rev" / f"{e}.npy", child)
                e += 1
    _write_manifest(folder, snapshot, schema, tables, findings)


def _renumber(row: np.ndarray, child: np.ndarray | None, parent: np.ndarray | None) -> np.ndarray:
    """Turn file rows on both ends into row ids."""
    if parent is not None and len(parent):
        row = np.where(row >= 0, parent[np.maximum(row, 0)], NO_ROW).astype(np.int32)
    if child is not None:
        out = np.empty_like(row)
        out[child] = row
        row = out
    return row


def _write_time(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    staged: StagedTable,
    folder: Path,
    findings: list[Finding],
) -> np.ndarray | None:
    """Write the sorted times; return each file row's row id, or None if the file is in time order already."""
    if table.time_column is None:
        return None
    name, dtype = quote(table.time_column), staged.columns[table.time_column]
    time = np.empty(staged.num_rows, np.int64)
    start = 0
    query = f"SELECT {seconds_sql(name, dtype)} AS t FROM {staged.relation}"
    for batch in connection.sql(query).to_arrow_reader(BATCH_ROWS):
        stop = start + batch.num_rows
        time[start:stop] = batch.column(0).fill_null(NEVER).to_numpy(zero_copy_only=False)
        start = stop
    missing = int((time == NEVER).sum())
    if missing:
        findings.append(
            Finding(
                name="missing-time",
                severity="warning",
                table=table.name,
                column=table.time_column,
                count=missing,
                message=f"{missing:,} of {staged.num_rows:,} rows have no time; they are never visible to a model",
                hint="derive a time for them with sql, or drop the time column if the table doesn't change",
            )
        )
    if np.all(time[1:] >= time[:-1]):
        np.save(folder / "time.npy", time)
        return None
    order = np.argsort(time, kind="stable").astype(np.int32)
    np.save(folder / "time.npy", time[order])
    np.save(folder / "row.npy", order)
    position = np.empty(len(order), np.int32)
    position[order] = np.arange(len(order), dtype=np.int32)
    return position


def _write_manifest(
    folder: Path,
    snapshot: Snapshot,
    schema: Schema,
    tables: Mapping[str, dict[str, Any]],
    findings: Sequence[Finding],
) -> None:
    manifest = {
        "format": FORMAT,
        "fingerprint": snapshot.fingerprint,
        "schema": schema.to_dict(),
        "tables": tables,
        "findings": [f.to_dict() for f in findings],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1))
