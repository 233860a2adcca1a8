"""Raw columns of a table as flat arrays, in time order: what the graph store keeps of a table's features.

Values are stored as they are, not as a model wants them: numbers as float32 (NaN if missing), instants as int64
Unix seconds, categories and texts as codes into a sorted dictionary, 0 meaning missing. How they are scaled and
which categories a model knows is fitted per task, on the past only (`encode.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from foreknow.errors import Finding, SchemaError
from foreknow.schema.table import Column, Table
from foreknow.source.snapshot import StagedTable
from foreknow.source.sql import fetch_all, fetch_one, quote
from foreknow.source.time import is_instant, seconds_sql
from foreknow.types import Stype

__all__ = ["MISSING_TIME", "RawColumns", "columns_of", "read_columns", "write_columns"]

MISSING_TIME = np.iinfo(np.int64).min
"""A missing instant."""

BATCH_ROWS = 1_000_000
_CODED = (Stype.CATEGORICAL, Stype.BOOLEAN, Stype.TEXT)
_NUMBERS = ("INT", "INTEGER", "FLOAT", "DOUBLE")


@dataclass(frozen=True, kw_only=True)
class RawColumns:
    """Memory-mapped feature columns of one table. Row ids are the graph's, in time order.

    ``numbers``: ``(N, len(number_names))`` float32. ``instants``: ``(N, len(instant_names))`` int64 seconds,
    `MISSING_TIME` if missing. ``codes[name]``: ``(N,)`` unsigned, 0 missing, else 1 + index into
    ``dictionary(name)``. ``lists[name]``: ``(pointer (N + 1,), codes)`` with the same codes.
    ``vectors[name]``: ``(N, D)`` float32, NaN rows if missing.
    """

    folder: Path
    number_names: tuple[str, ...]
    instant_names: tuple[str, ...]
    code_names: tuple[str, ...]
    list_names: tuple[str, ...]
    vector_names: tuple[str, ...]
    numbers: np.ndarray
    instants: np.ndarray
    codes: dict[str, np.ndarray]
    lists: dict[str, tuple[np.ndarray, np.ndarray]]
    vectors: dict[str, np.ndarray]
    files: dict[str, str]

    def dictionary(self, name: str) -> pa.Array:
        """Distinct values of a coded column as text, sorted as its type sorts."""
        return pq.read_table(self.folder / f"{self.files[name]}.dict.parquet").column(0).combine_chunks()


def columns_of(table: Table, *stypes: Stype) -> tuple[Column, ...]:
    """Feature columns of the given meanings."""
    return tuple(c for c in table.features if c.stype in stypes)


def write_columns(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    staged: StagedTable,
    position: np.ndarray | None,
    folder: Path,
    *,
    key_features: Sequence[str] = (),
) -> tuple[dict[str, Any], list[Finding]]:
    """Encode a staged table's features into arrays.

    Args:
        connection: Any DuckDB connection.
        table: Schema of the table.
        staged: Its rows.
        position: Row id of each file row, if they differ. Shape ``(N,)``.
        folder: Where the arrays go; exists and is empty.
        key_features: Key columns to keep as categories too.

    Returns:
        The layout for `read_columns`, and findings: values that could not be read as what they are said to be.
    """
    n = staged.num_rows
    by_name = {c.name: c for c in table.columns}
    numbers = columns_of(table, Stype.NUMERICAL)
    instants = columns_of(table, Stype.TIMESTAMP)
    coded = (*columns_of(table, *_CODED), *(by_name[k] for k in key_features))
    lists = columns_of(table, Stype.MULTICATEGORICAL)
    vectors = columns_of(table, Stype.EMBEDDING)
    _check_types(table, numbers, instants, coded, lists, vectors)
    files = {c.name: f"c{i}" for i, c in enumerate((*coded, *lists, *vectors))}

    dictionaries: dict[str, pa.Array] = {}
    for c in (*coded, *lists):
        dictionaries[c.name] = _distinct(connection, staged, c, is_list=c in lists)
        text = dictionaries[c.name].cast(pa.large_string())
        pq.write_table(pa.table({"value": text}), folder / f"{files[c.name]}.dict.parquet")

    def create(name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        return np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype=dtype, shape=shape)

    number_out = create("numbers", (n, len(numbers)), np.float32) if numbers else None
    instant_out = create("instants", (n, len(instants)), np.int64) if instants else None
    code_out = {c.name: create(files[c.name], (n,), _width(len(dictionaries[c.name]))) for c in coded}
    list_length = {c.name: np.zeros(n, np.int64) for c in lists}
    list_parts: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {c.name: [] for c in lists}
    vector_out = {c.name: create(files[c.name], (n, _vector_size(connection, staged, c)), np.float32) for c in vectors}

    select = [f"TRY_CAST({quote(c.name)} AS DOUBLE)" for c in numbers]
    select += [seconds_sql(quote(c.name), c.dtype) for c in instants]
    select += [quote(c.name) for c in (*coded, *lists, *vectors)]
    if select:
        start = 0
        names = ", ".join(f"{s} AS f{i}" for i, s in enumerate(select))
        for batch in connection.sql(f"SELECT {names} FROM {staged.relation}").to_arrow_reader(BATCH_ROWS):
            stop = start + batch.num_rows
            rows: Any = slice(start, stop) if position is None else position[start:stop]
            i = 0
            for j in range(len(numbers)):
                assert number_out is not None
                number_out[rows, j] = _floats(batch.column(i))
                i += 1
            for j in range(len(instants)):
                assert instant_out is not None
                instant_out[rows, j] = batch.column(i).fill_null(MISSING_TIME).to_numpy(zero_copy_only=False)
                i += 1
            for c in coded:
                code_out[c.name][rows] = _codes(batch.column(i), dictionaries[c.name])
                i += 1
            for c in lists:
                array = batch.column(i)
                length = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
                list_length[c.name][rows] = length
                ids = np.arange(start, stop) if position is None else position[start:stop]
                list_parts[c.name].append((np.repeat(ids, length), _codes(array.flatten(), dictionaries[c.name])))
                i += 1
            for c in vectors:
                vector_out[c.name][rows] = _matrix(batch.column(i), vector_out[c.name].shape[1])
                i += 1
            start = stop
    for c in lists:
        _write_lists(folder / files[c.name], list_length[c.name], list_parts[c.name], _width(len(dictionaries[c.name])))
    findings = _unreadable(connection, table, staged, (*numbers, *instants))
    layout = {
        "numbers": [c.name for c in numbers],
        "instants": [c.name for c in instants],
        "codes": [c.name for c in coded],
        "lists": [c.name for c in lists],
        "vectors": [c.name for c in vectors],
        "files": files,
    }
    return layout, findings


def read_columns(folder: Path, layout: dict[str, Any], num_rows: int) -> RawColumns:
    """Open what `write_columns` wrote, memory-mapped."""
    files = layout["files"]

    def load(name: str) -> np.ndarray:
        array: np.ndarray = np.load(folder / f"{name}.npy", mmap_mode="r")
        return array

    return RawColumns(
        folder=folder,
        number_names=tuple(layout["numbers"]),
        instant_names=tuple(layout["instants"]),
        code_names=tuple(layout["codes"]),
        list_names=tuple(layout["lists"]),
        vector_names=tuple(layout["vectors"]),
        numbers=load("numbers") if layout["numbers"] else np.zeros((num_rows, 0), np.float32),
        instants=load("instants") if layout["instants"] else np.zeros((num_rows, 0), np.int64),
        codes={c: load(files[c]) for c in layout["codes"]},
        lists={c: (load(f"{files[c]}.ptr"), load(files[c])) for c in layout["lists"]},
        vectors={c: load(files[c]) for c in layout["vectors"]},
        files=files,
    )


def _check_types(
    table: Table,
    numbers: Sequence[Column],
    instants: Sequence[Column],
    coded: Sequence[Column],
    lists: Sequence[Column],
    vectors: Sequence[Column],
) -> None:
    problems = []
    for c in numbers:
        if _is_nested(c.dtype) or c.dtype.startswith(("TIMESTAMP", "DATE", "BLOB")):
            problems.append(f"column '{c.name}' is {c.dtype}, which is not a number")
    for c in instants:
        if not is_instant(c.dtype):
            problems.append(
                f"column '{c.name}' is {c.dtype}, which is not a time; derive one with sql, e.g. to_timestamp(...)"
            )
    for c in coded:
        if _is_nested(c.dtype) or c.dtype == "INTERVAL":
            problems.append(f"column '{c.name}' is {c.dtype}, but {c.stype} needs single values")
    for c in (*lists, *vectors):
        item = c.dtype.rpartition("[")[0]
        if not item:
            problems.append(f"column '{c.name}' is {c.dtype}, but {c.stype} needs a list or array")
        elif _is_nested(item) or (c in vectors and not item.endswith(_NUMBERS) and not item.startswith("DECIMAL")):
            what = "numbers" if c in vectors else "single values"
            problems.append(f"column '{c.name}' is {c.dtype}, but {c.stype} needs a list of {what}")
    if problems:
        raise SchemaError(f"table '{table.name}': " + "; ".join(problems))


def _is_nested(dtype: str) -> bool:
    return dtype.endswith("]") or dtype.startswith(("STRUCT", "MAP"))


def _distinct(connection: duckdb.DuckDBPyConnection, staged: StagedTable, column: Column, *, is_list: bool) -> pa.Array:
    value = f"unnest({quote(column.name)})" if is_list else quote(column.name)
    is_float = column.dtype.rstrip("[]") in ("FLOAT", "DOUBLE")
    missing = "v IS NULL OR isnan(v)" if is_float else "v IS NULL"
    table = connection.sql(
        f"SELECT v FROM (SELECT DISTINCT {value} AS v FROM {staged.relation}) WHERE NOT ({missing}) ORDER BY v"
    ).to_arrow_table()
    return table.column(0).combine_chunks()


def _codes(values: pa.Array, dictionary: pa.Array) -> np.ndarray:
    index = pc.index_in(values, value_set=dictionary)
    codes: np.ndarray = pc.add(pc.fill_null(index, -1), 1).to_numpy(zero_copy_only=False)
    return codes


def _width(num_values: int) -> type:
    if num_values < 1 << 8:
        return np.uint8
    return np.uint16 if num_values < 1 << 16 else np.uint32


def _floats(values: pa.Array) -> np.ndarray:
    with np.errstate(over="ignore"):
        floats: np.ndarray = values.to_numpy(zero_copy_only=False).astype(np.float32)
    floats[~np.isfinite(floats)] = np.nan
    return floats


def _vector_size(connection: duckdb.DuckDBPyConnection, staged: StagedTable, column: Column) -> int:
    """The one length of all vectors of a column; 1 if there is none."""
    name = quote(column.name)
    low, high = fetch_one(
        connection, f"SELECT min(len({name}::FLOAT[])), max(len({name}::FLOAT[])) FROM {staged.relation}"
    )
    if low != high:
        raise SchemaError(
            f"table '{staged.name}', column '{column.name}': embeddings need one length, these have {low} to {high}",
            hint="call the column multicategorical or ignore, or derive one of a fixed length with sql",
        )
    if high == 0:
        raise SchemaError(
            f"table '{staged.name}', column '{column.name}': embeddings are empty lists", hint="ignore it"
        )
    return int(high or 1)


def _matrix(values: pa.Array, size: int) -> np.ndarray:
    out = np.full((len(values), size), np.nan, np.float32)
    valid = values.is_valid().to_numpy(zero_copy_only=False)
    flat = values.drop_null().flatten().cast(pa.float32()).to_numpy(zero_copy_only=False)
    out[valid] = flat.reshape(-1, size)
    return out


def _write_lists(path: Path, length: np.ndarray, parts: list[tuple[np.ndarray, np.ndarray]], width: type) -> None:
    pointer = np.zeros(len(length) + 1, np.int64)
    np.cumsum(length, out=pointer[1:])
    rows = np.concatenate([r for r, _ in parts]) if parts else np.empty(0, np.int64)
    codes = np.concatenate([c for _, c in parts]) if parts else np.empty(0, np.int64)
    order = np.argsort(rows, kind="stable")
    np.save(path.with_name(path.name + ".ptr.npy"), pointer)
    np.save(path.with_name(path.name + ".npy"), codes[order].astype(width))


def _unreadable(
    connection: duckdb.DuckDBPyConnection, table: Table, staged: StagedTable, columns: Sequence[Column]
) -> list[Finding]:
    """Values of text columns said to be numbers or times that are neither."""
    findings = []
    for c in columns:
        if c.dtype != "VARCHAR":
            continue
        name = quote(c.name)
        target = "DOUBLE" if c.stype is Stype.NUMERICAL else "TIMESTAMP"
        bad = f"FROM {staged.relation} WHERE {name} IS NOT NULL AND TRY_CAST({name} AS {target}) IS NULL"
        (count,) = fetch_one(connection, f"SELECT count(*) {bad}")
        if count:
            examples = fetch_all(connection, f"SELECT DISTINCT {name} {bad} ORDER BY 1 LIMIT 3")
            shown = ", ".join(repr(e[0]) for e in examples)
            findings.append(
                Finding(
                    name="unreadable-values",
                    severity="warning",
                    table=table.name,
                    column=c.name,
                    count=count,
                    message=f"{count:,} of {staged.num_rows:,} values are no {c.stype} (e.g. {shown}) "
                    "and count as missing",
                    hint=f"give the column another type, or derive one with sql from {c.name}",
                )
            )
    return findings
