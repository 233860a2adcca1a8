"""Measure tables in DuckDB: the statistics schema inference reasons from.

One pass over all columns counts values, extremes, lengths and approximate distinct values. Where an exact count
decides (few values, or so many that they may be a key) a column is grouped by itself; of the others, a few values
from the first rows serve as samples. Shapes of texts are read off a sample of rows chosen by their content, so that
the order of rows and the number of threads change nothing; the order of times off the first rows.

NaN counts as missing. Texts are cut. For lists and arrays ``minimum`` and ``maximum`` are
their lengths: an embedding is a list of numbers whose lengths are all the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import duckdb

from foreknow.schema.keys import MAX_KEY_LENGTH
from foreknow.schema.profile import ColumnProfile, Declared, TableProfile
from foreknow.schema.shape import patterns
from foreknow.schema.storage import storage_kind
from foreknow.source.sql import column_types, columns_list, fetch_all, fetch_one, literal, quote, text_sql, value_sql

__all__ = ["profile_table"]

EXACT_DISTINCT = 100_000  # up to so many values a column is counted exactly, key or not
LARGE_TABLE = 500_000  # rows from which only columns of up to FEW_DISTINCT values are
FEW_DISTINCT = 2_000
KEY_SHARE = 0.8  # approximate distinct / rows from which a column may be a key (the estimate is off by up to 10%)
BATCH_DISTINCT = 2_000_000  # values grouped in one query; bounds memory
HEAD_ROWS = 1_000  # rows looked at for samples of columns that aren't counted exactly
SHAPE_ROWS = 2_000  # rows whose texts are looked at, roughly
ORDER_ROWS = 100_000  # rows looked at for the order of times
YEARS = (1000, 2200)  # times outside are counted as strange
NUM_SAMPLES = 5


def profile_table(connection: duckdb.DuckDBPyConnection, relation: str, name: str, declared: Declared) -> TableProfile:
    """Measure every column of one table.

    Args:
        connection: Where the queries run. Its memory limit holds: grouping spills to disk.
        relation: SQL that goes after FROM.
        name: The table's name, for the profile.
        declared: Constraints of the source, passed on.

    Returns:
        The profile. ``is_unique`` is tested for whole numbers, texts and columns of few values, else False.
    """
    dtypes = column_types(connection, relation)
    parts = ["count(*)", *(e for c, d in dtypes.items() for e in _statistics(c, d))]
    first = fetch_one(connection, f"SELECT {', '.join(parts)} FROM {relation}")
    num_rows = int(first[0])
    statistics = {c: first[1 + 7 * i : 8 + 7 * i] for i, c in enumerate(dtypes)}

    counted: dict[str, tuple[int, tuple[str, ...], float | None]] = {}
    queries: list[tuple[int, str]] = []
    exact = set[str]()
    for c, dtype in dtypes.items():
        count, distinct, _, _, length, _, _ = statistics[c]
        if not count or storage_kind(dtype) == "other" or _is_embedding(dtype):
            continue
        if _is_decisive(dtype, count, distinct, length, num_rows):
            exact.add(c)
            queries.append((distinct, _grouped(c, dtype, relation, len(queries))))
        else:
            head = f"(SELECT {quote(c)} FROM {relation} WHERE {quote(c)} IS NOT NULL LIMIT {HEAD_ROWS})"
            queries.append((HEAD_ROWS, _grouped(c, dtype, head, len(queries))))
        counted[c] = (0, (), None)
    names = list(counted)
    for sql in _batches(queries):
        for i, num_distinct, samples, share in fetch_all(connection, sql):
            counted[names[i]] = (num_distinct, tuple(samples or ()), share)

    shapes = _shapes(connection, relation, num_rows, dtypes, {c: v[1] for c, v in statistics.items() if v[0]})
    rising = _rising(connection, relation, [c for c, d in dtypes.items() if storage_kind(d) == "time"])
    columns = []
    for c, dtype in dtypes.items():
        count, approximate, minimum, maximum, length, words, strange = statistics[c]
        num_distinct, samples, top = counted.get(c, (0, (), None))
        num_distinct = num_distinct if c in exact else min(approximate, count)
        columns.append(
            ColumnProfile(
                name=c,
                dtype=dtype,
                num_null=num_rows - count,
                num_distinct=num_distinct,
                is_unique=c in exact and num_distinct == count,
                minimum=minimum,
                maximum=maximum,
                mean_length=_nan(length),
                mean_words=_nan(words),
                samples=samples,
                top_share=_nan(top),
                shapes=shapes.get(c, {}),
                num_strange=strange or 0,
                rising=_nan(rising.get(c)),
            )
        )
    return TableProfile(name=name, num_rows=num_rows, columns=tuple(columns), declared=declared)


def _statistics(column: str, dtype: str) -> tuple[str, ...]:
    """Seven aggregates of a column: values, distinct ones, minimum, maximum, mean length, mean words, strange ones."""
    value, kind = value_sql(column, dtype), storage_kind(dtype)
    counts = (f"count({value})", f"approx_count_distinct({value})")
    if kind == "other":
        return (*counts, "NULL", "NULL", "NULL", "NULL", "NULL")
    if kind == "list":
        length = f"len({value})"
        return (*counts, f"min({length})::VARCHAR", f"max({length})::VARCHAR", f"avg({length})", "NULL", "NULL")
    extremes = (text_sql(f"min({value})"), text_sql(f"max({value})"))
    if kind == "time":
        strange = f"NOT isfinite({value}) OR year({value}) NOT BETWEEN {YEARS[0]} AND {YEARS[1]}"
        return (*counts, *extremes, "NULL", "NULL", f"count(*) FILTER ({strange})")
    if kind != "text":
        return (*counts, *extremes, "NULL", "NULL", "NULL")
    text = f"trim(CAST({value} AS VARCHAR))"  # CHAR(n) columns come padded with blanks
    words = f"avg(length({text}) - length(replace({text}, ' ', '')) + 1)"
    return (*counts, *extremes, f"avg(length({text}))", words, "NULL")


def _shapes(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    num_rows: int,
    dtypes: Mapping[str, str],
    distinct: Mapping[str, int],
) -> dict[str, dict[str, float]]:
    """Share of the texts of each shape, per column, among rows chosen by a hash of the most varied columns."""
    texts = [c for c in distinct if storage_kind(dtypes[c]) == "text"]
    if not texts:
        return {}
    known = patterns()
    each = [
        f"avg(regexp_full_match(trim(CAST({quote(c)} AS VARCHAR)), {literal(p)})::INTEGER)"
        for c in texts
        for p in known.values()
    ]
    chosen = relation
    if num_rows > 2 * SHAPE_ROWS:
        varied = sorted((c for c in distinct if storage_kind(dtypes[c]) != "list"), key=lambda c: -distinct[c])[:3]
        where = f"hash({columns_list(varied)}) % {num_rows // SHAPE_ROWS} = 0"
        chosen = f"(SELECT {columns_list(texts)} FROM {relation} WHERE {where})"
    row = fetch_one(connection, f"SELECT {', '.join(each)} FROM {chosen}")
    shares = iter(row)
    return {c: {name: s for name, s in ((n, next(shares)) for n in known) if s} for c in texts}


def _rising(connection: duckdb.DuckDBPyConnection, relation: str, columns: Sequence[str]) -> dict[str, float | None]:
    """Share of rows not before the row above them, for each column; None without two values."""
    if not columns:
        return {}
    names = [f"v{i}" for i in range(len(columns))]
    values = ", ".join(
        f"{quote(c)} AS {n}, lag({quote(c)}) OVER () AS b{n}" for c, n in zip(columns, names, strict=True)
    )
    shares = ", ".join(f"avg((b{n} <= {n})::INTEGER)" for n in names)
    head = f"(SELECT {columns_list(columns)} FROM {relation} LIMIT {ORDER_ROWS})"
    row = fetch_one(connection, f"SELECT {shares} FROM (SELECT {values} FROM {head})")
    return dict(zip(columns, row, strict=True))


def _is_decisive(dtype: str, count: int, distinct: int, length: float | None, num_rows: int) -> bool:
    """Whether to count a column's values exactly: they are few, or may be a key."""
    kind = storage_kind(dtype)
    if kind == "list" or (kind == "text" and (length or 0) > MAX_KEY_LENGTH):
        return False
    few = EXACT_DISTINCT if num_rows < LARGE_TABLE else FEW_DISTINCT
    return distinct <= few or (kind in ("integer", "text") and distinct >= KEY_SHARE * count)


def _grouped(column: str, dtype: str, relation: str, number: int) -> str:
    """SQL for a column's exact distinct count and most common values; ties in the order of the values."""
    value = value_sql(column, dtype)
    groups = f"SELECT {value} AS v, count(*) AS n FROM {relation} WHERE ({value}) IS NOT NULL GROUP BY 1"
    return (
        f"SELECT {number}, count(*), min_by({text_sql('v')}, (-n, v), {NUM_SAMPLES}), max(n) / sum(n) FROM ({groups})"
    )


def _batches(queries: Sequence[tuple[int, str]]) -> Iterator[str]:
    """Put queries together, as long as the values they group stay below `BATCH_DISTINCT`."""
    batch: list[str] = []
    size = 0
    for num_distinct, sql in queries:
        if batch and size + num_distinct > BATCH_DISTINCT:
            yield " UNION ALL ".join(batch)
            batch, size = [], 0
        batch.append(sql)
        size += num_distinct
    if batch:
        yield " UNION ALL ".join(batch)


def _is_embedding(dtype: str) -> bool:
    return dtype.endswith("]") and storage_kind(dtype.rpartition("[")[0]) == "float"


def _nan(value: Any) -> float:
    return float("nan") if value is None else float(value)
