"""Graph stores made by hand: from Arrow tables, or from nothing but times and links."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from foreknow.graph.adjacency import build_reverse
from foreknow.graph.build import build_graph
from foreknow.graph.columns import RawColumns
from foreknow.graph.store import GraphStore, GraphTable
from foreknow.schema.table import Schema
from foreknow.source.snapshot import Snapshot, StagedTable
from foreknow.source.sql import fetch_all, literal

__all__ = ["bare_store", "build_store"]


def build_store(
    folder: Path, schema: Schema, tables: Mapping[str, pa.Table], *, key_features: Sequence[str] = ()
) -> GraphStore:
    """Build the store of Arrow tables, as training does, in a folder of its own.

    Args:
        folder: Where rows and store go; made if need be.
        schema: What the tables mean.
        tables: Rows by table name.
        key_features: Tables whose keys are features.
    """
    folder.mkdir(parents=True, exist_ok=True)
    staged = {}
    with duckdb.connect() as connection:
        for i, (name, rows) in enumerate(tables.items()):
            path = folder / f"{i}.parquet"
            pq.write_table(rows, path)
            described = fetch_all(connection, f"DESCRIBE SELECT * FROM read_parquet({literal(str(path))})")
            staged[name] = StagedTable(
                name=name,
                path=path,
                num_rows=rows.num_rows,
                columns={r[0]: r[1] for r in described},
                fingerprint=hashlib.sha256(path.read_bytes()).hexdigest()[:16],
            )
    return build_graph(Snapshot(uri=str(folder), tables=staged), schema, folder, key_features=key_features)


def bare_store(schema: Schema, times: Mapping[str, np.ndarray | int], parents: Sequence[np.ndarray]) -> GraphStore:
    """A store in memory that knows times and links, but no columns. Enough to sample from.

    Args:
        schema: Tables and foreign keys.
        times: By table: ascending Unix seconds, or how many rows there are if the table has no time.
        parents: By foreign key, in schema order: the parent row of each row, -1 if none.
    """
    tables = {}
    for name, time in times.items():
        num_rows = time if isinstance(time, int) else len(time)
        tables[name] = GraphTable(
            name=name,
            num_rows=num_rows,
            time=None if isinstance(time, int) else np.asarray(time, np.int64),
            file_row=None,
            columns=_no_columns(num_rows),
        )
    links = [np.asarray(p, np.int32) for p in parents]
    edges = schema.edge_types
    reverse = [build_reverse(p, tables[e.target].num_rows) for p, e in zip(links, edges, strict=True)]
    return GraphStore(
        folder=Path(),
        schema=schema,
        fingerprint="",
        tables=tables,
        edge_types=edges,
        parents=tuple(links),
        pointers=tuple(pointer for pointer, _ in reverse),
        children=tuple(child for _, child in reverse),
        findings=(),
    )


def _no_columns(num_rows: int) -> RawColumns:
    return RawColumns(
        folder=Path(),
        number_names=(),
        instant_names=(),
        code_names=(),
        list_names=(),
        vector_names=(),
        numbers=np.zeros((num_rows, 0), np.float32),
        instants=np.zeros((num_rows, 0), np.int64),
        codes={},
        lists={},
        vectors={},
        files={},
    )
