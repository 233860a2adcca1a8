"""The graph store: a folder of flat arrays, opened memory-mapped.

    manifest.json                 format, schema, counts, findings, snapshot fingerprint
    <i>/time.npy                  (N,) int64 Unix seconds, ascending; NEVER last. Only for tables with a time column
    <i>/row.npy                   (N,) int32 file row of each row id. Only if rows were reordered
    <i>/numbers.npy, c0.npy, ...  feature columns (columns.py)
    fk/<e>.npy                    (N,) int32 parent row of each row, NO_ROW if none
    rev/<e>.ptr.npy, <e>.npy      (P + 1,) int64 and (links,) int32: every parent's children, ascending

``<i>`` numbers tables and ``<e>`` foreign keys in schema order. Rows of a table are sorted by time, ties in the
order of the source, so row id order is time order: what is visible at a seed time is every row below a cut-off.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from foreknow.errors import Finding, StoreError
from foreknow.graph.columns import RawColumns, read_columns
from foreknow.schema.table import EdgeType, Schema

__all__ = ["FORMAT", "GraphStore", "GraphTable"]

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class GraphTable:
    """One table of the store: its time, its features, and which row of the file each row id is."""

    name: str
    num_rows: int
    time: np.ndarray | None
    file_row: np.ndarray | None
    columns: RawColumns

    def cut(self, seed_time: np.ndarray, *, inclusive: bool = True) -> np.ndarray:
        """First row id not visible at each time: rows below it have ``time <= seed_time`` (``<`` if exclusive).

        Rows of a table without time are all visible.

        Args:
            seed_time: Unix seconds. Shape ``(B,)``, int64.
            inclusive: Whether rows stamped exactly at the seed time are visible.

        Returns:
            Shape ``(B,)``, int64.
        """
        if self.time is None:
            return np.full(len(seed_time), self.num_rows, np.int64)
        return np.searchsorted(self.time[: self.num_timed], seed_time, side="right" if inclusive else "left")

    @cached_property
    def num_timed(self) -> int:
        """Rows whose time is known; the others come last and are never visible."""
        if self.time is None:
            return self.num_rows
        return int(np.searchsorted(self.time, np.iinfo(np.int64).max, side="left"))

    @cached_property
    def row_of_file(self) -> np.ndarray | None:
        """Row id of each file row; None if they are the same."""
        if self.file_row is None:
            return None
        inverse = np.empty(self.num_rows, np.int32)
        inverse[self.file_row] = np.arange(self.num_rows, dtype=np.int32)
        return inverse

    def to_row(self, file_row: np.ndarray) -> np.ndarray:
        """Renumber file rows to row ids; negative numbers (no row) stay."""
        if self.row_of_file is None:
            return file_row
        if not self.num_rows:
            return file_row
        return np.where(file_row >= 0, self.row_of_file[np.maximum(file_row, 0)], file_row)


@dataclass(frozen=True, kw_only=True)
class GraphStore:
    """The rows of a snapshot as a graph."""

    folder: Path
    schema: Schema
    fingerprint: str
    tables: Mapping[str, GraphTable]
    edge_types: tuple[EdgeType, ...]
    parents: tuple[np.ndarray, ...]
    pointers: tuple[np.ndarray, ...]
    children: tuple[np.ndarray, ...]
    findings: tuple[Finding, ...]

    def __getitem__(self, table: str) -> GraphTable:
        return self.tables[table]

    @cached_property
    def time_range(self) -> tuple[int, int] | None:
        """Earliest and latest known time over all tables, Unix seconds; None if nothing has a time."""
        spans = [
            (int(t.time[0]), int(t.time[t.num_timed - 1]))
            for t in self.tables.values()
            if t.time is not None and t.num_timed
        ]
        return (min(a for a, _ in spans), max(b for _, b in spans)) if spans else None

    @cached_property
    def size_bytes(self) -> int:
        """Bytes on disk."""
        return sum(f.stat().st_size for f in self.folder.rglob("*") if f.is_file())

    @classmethod
    def open(cls, folder: Path) -> GraphStore:
        """Open a store memory-mapped; reads the manifest only.

        Raises:
            StoreError: The folder holds no store, or one of another format version.
        """
        manifest = folder / "manifest.json"
        if not manifest.exists():
            raise StoreError(f"'{folder}' holds no graph store", hint="build it again")
        meta: dict[str, Any] = json.loads(manifest.read_text())
        if meta.get("format") != FORMAT:
            raise StoreError(
                f"the graph store in '{folder}' is of format {meta.get('format')}, this version reads {FORMAT}",
                hint="delete the folder; it will be built again",
            )
        schema = Schema.from_dict(meta["schema"])
        tables = {}
        for i, table in enumerate(schema):
            at, info = folder / str(i), meta["tables"][table.name]
            tables[table.name] = GraphTable(
                name=table.name,
                num_rows=info["num_rows"],
                time=np.load(at / "time.npy", mmap_mode="r") if info["timed"] else None,
                file_row=np.load(at / "row.npy", mmap_mode="r") if info["reordered"] else None,
                columns=read_columns(at, info["columns"], info["num_rows"]),
            )
        edges = schema.edge_types

        def load(kind: str, suffix: str = "") -> tuple[np.ndarray, ...]:
            return tuple(np.load(folder / kind / f"{e}{suffix}.npy", mmap_mode="r") for e in range(len(edges)))

        return cls(
            folder=folder,
            schema=schema,
            fingerprint=meta["fingerprint"],
            tables=tables,
            edge_types=edges,
            parents=load("fk"),
            pointers=load("rev", ".ptr"),
            children=load("rev"),
            findings=tuple(Finding(**f) for f in meta["findings"]),
        )
