"""Measure tables in DuckDB: the statistics schema inference reasons from.

Two passes: one over all columns for counts, extremes, lengths and approximate distinct counts, and one that groups
by single columns for exact distinct counts and the most common values. The second leaves out columns where an
exact count decides nothing and would cost memory: many different values, but too few to be a key. Of those, a few
values from the first rows serve as samples.

NaN counts as missing. Texts are cut at `TEXT_CHARACTERS`. For lists and arrays ``minimum`` and ``maximum`` are
their lengths: an embedding is a list of numbers whose lengths are all the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import duckdb

from foreknow.schema.infer import MAX_KEY_LENGTH, storage_kind
from foreknow.schema.profile import ColumnProfile, Containment, Declared, TableProfile
from foreknow.source.sql import columns_list, fetch_all, fetch_one, quote

__all__ = ["measure_containment", "profile_table", "unique_together"]

EXACT_DISTINCT = 100_000  # up to so many values a column is counted exactly, key or not
KEY_SHARE = 0.8  # approximate distinct / rows from which a column may be a key (the estimate is off by up to 10%)
BATCH_DISTINCT = 2_000_000  # values grouped in one query; bounds memory
HEAD_ROWS = 1_000  # rows looked at for samples of columns that aren't counted exactly
NUM_SAMPLES = 5
TEXT_CHARACTERS = 200


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
    dtypes = _dtypes(connection, relation)
    parts = ["count(*)", *(e for c, d in dtypes.items() for e in _statistics(c, d))]
    first = fetch_one(connection, f"SELECT {', '.join(parts)} FROM {relation}")
    num_rows = int(first[0])
    statistics = {c: first[1 + 6 * i : 7 + 6 * i] for i, c in enumerate(dtypes)}

    counted: dict[str, tuple[int, tuple[str, ...]]] = {}
    queries: list[tuple[int, str]] = []
    exact = set[str]()
    for c, dtype in dtypes.items():
        count, distinct, _, _, length, _ = statistics[c]
        if not count or storage_kind(dtype) == "other" or _is_embedding(dtype):
            continue
        if _is_decisive(dtype, count, distinct, length):
            exact.add(c)
            queries.append((distinct, _grouped(c, dtype, relation, len(queries))))
        else:
            head = f"(SELECT {quote(c)} FROM {relation} WHERE {quote(c)} IS NOT NULL LIMIT {HEAD_ROWS})"
            queries.append((HEAD_ROWS, _grouped(c, dtype, head, len(queries))))
        counted[c] = (0, ())
    names = list(counted)
    for sql in _batches(queries):
        for i, num_distinct, samples in fetch_all(connection, sql):
            counted[names[i]] = (num_distinct, tuple(samples or ()))

    columns = []
    for c, dtype in dtypes.items():
        count, approximate, minimum, maximum, length, words = statistics[c]
        num_distinct, samples = counted.get(c, (0, ()))
        columns.append(
            ColumnProfile(
                name=c,
                dtype=dtype,
                num_null=num_rows - count,
                num_distinct=num_distinct if c in exact else min(approximate, count),
                is_unique=c in exact and num_distinct == count,
                minimum=minimum,
                maximum=maximum,
                mean_length=_nan(length),
                mean_words=_nan(words),
                samples=samples,
            )
        )
    return TableProfile(name=name, num_rows=num_rows, columns=tuple(columns), declared=declared)


def measure_containment(
    connection: duckdb.DuckDBPyConnection,
    relations: Mapping[str, str],
    table: str,
    columns: Sequence[str],
    to_table: str,
    to: Sequence[str],
) -> Containment:
    """Count the rows of `table` whose `columns` are found in columns `to` of `to_table`.

    Rows with a NULL in any of `columns` link nowhere and don't count. A number and a text are compared as texts.

    Args:
        connection: Where the query runs.
        relations: SQL that goes after FROM, for each table.
        table: The table that links.
        columns: Its key columns.
        to_table: The table linked to; may be the same.
        to: The columns of `to_table` that `columns` name, one for one.

    Returns:
        The counts, with the most frequent values that have no match.
    """
    left, right = relations[table], relations[to_table]
    left_types, right_types = _dtypes(connection, left), _dtypes(connection, right)
    child, parent = [], []
    for a, b in zip(columns, to, strict=True):
        as_text = not _comparable(left_types[a], right_types[b])
        child.append(f"CAST({quote(a)} AS VARCHAR)" if as_text else _value(a, left_types[a]))
        parent.append(f"CAST({quote(b)} AS VARCHAR)" if as_text else quote(b))
    keys = [f"k{i}" for i in range(len(child))]
    match = " AND ".join(f"c.{k} = p.{k}" for k in keys)
    present = " AND ".join(f"({e}) IS NOT NULL" for e in child)
    shown = _text(keys[0]) if len(keys) == 1 else "'(' || " + " || ', ' || ".join(map(_text, keys)) + " || ')'"
    num_values, num_missing, examples = fetch_one(
        connection,
        f"""
        WITH c AS (SELECT {_aliased(child, keys)} FROM {left} WHERE {present}),
             p AS (SELECT {_aliased(parent, keys)} FROM {right}),
             missing AS MATERIALIZED (
                 SELECT {", ".join(keys)}, count(*) AS n FROM c ANTI JOIN p ON {match} GROUP BY ALL
             )
        SELECT (SELECT count(*) FROM c),
               (SELECT coalesce(sum(n), 0)::BIGINT FROM missing),
               (SELECT min_by({shown}, (-n, {shown}), {NUM_SAMPLES}) FROM missing)
        """,
    )
    return Containment(
        table=table,
        columns=tuple(columns),
        to_table=to_table,
        to=tuple(to),
        num_values=num_values,
        num_missing=num_missing,
        examples=tuple(examples or ()),
    )


def unique_together(connection: duckdb.DuckDBPyConnection, relation: str, columns: Sequence[str]) -> bool:
    """Whether no two rows share their values in `columns`; rows with a NULL among them don't count."""
    present = " AND ".join(f"{quote(c)} IS NOT NULL" for c in columns)
    twice = f"SELECT 1 FROM {relation} WHERE {present} GROUP BY {columns_list(columns)} HAVING count(*) > 1"
    (exists,) = fetch_one(connection, f"SELECT EXISTS ({twice})")
    return not exists


def _statistics(column: str, dtype: str) -> tuple[str, ...]:
    """Six aggregates of a column: values, distinct values, minimum, maximum, mean length, mean words."""
    value, kind = _value(column, dtype), storage_kind(dtype)
    counts = (f"count({value})", f"approx_count_distinct({value})")
    if kind == "other":
        return (*counts, "NULL", "NULL", "NULL", "NULL")
    if kind == "list":
        length = f"len({value})"
        return (*counts, f"min({length})::VARCHAR", f"max({length})::VARCHAR", f"avg({length})", "NULL")
    extremes = (_text(f"min({value})"), _text(f"max({value})"))
    if kind != "text":
        return (*counts, *extremes, "NULL", "NULL")
    text = f"trim(CAST({value} AS VARCHAR))"  # CHAR(n) columns come padded with blanks
    words = f"avg(length({text}) - length(replace({text}, ' ', '')) + 1)"
    return (*counts, *extremes, f"avg(length({text}))", words)


def _is_decisive(dtype: str, count: int, distinct: int, length: float | None) -> bool:
    """Whether to count a column's values exactly: they are few, or may be a key."""
    kind = storage_kind(dtype)
    if kind == "list" or (kind == "text" and (length or 0) > MAX_KEY_LENGTH):
        return False
    return distinct <= EXACT_DISTINCT or (kind in ("integer", "text") and distinct >= KEY_SHARE * count)


def _grouped(column: str, dtype: str, relation: str, number: int) -> str:
    """SQL for a column's exact distinct count and most common values; ties in the order of the values."""
    value = _value(column, dtype)
    groups = f"SELECT {value} AS v, count(*) AS n FROM {relation} WHERE ({value}) IS NOT NULL GROUP BY 1"
    return f"SELECT {number}, count(*), min_by({_text('v')}, (-n, v), {NUM_SAMPLES}) FROM ({groups})"


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


def _value(column: str, dtype: str) -> str:
    """SQL of a column's value, NaN being NULL."""
    c = quote(column)
    return f"CASE WHEN isnan({c}) THEN NULL ELSE {c} END" if dtype in ("FLOAT", "DOUBLE") else c


def _text(value: str) -> str:
    return f"left(CAST({value} AS VARCHAR), {TEXT_CHARACTERS})"


def _aliased(values: Sequence[str], names: Sequence[str]) -> str:
    return ", ".join(f"{v} AS {n}" for v, n in zip(values, names, strict=True))


def _is_embedding(dtype: str) -> bool:
    return dtype.endswith("]") and storage_kind(dtype.rpartition("[")[0]) == "float"


def _comparable(a: str, b: str) -> bool:
    numbers = ("integer", "float")
    return a == b or (storage_kind(a) in numbers and storage_kind(b) in numbers)


def _dtypes(connection: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    return {r[0]: r[1] for r in fetch_all(connection, f"DESCRIBE SELECT * FROM {relation}")}


def _nan(value: Any) -> float:
    return float("nan") if value is None else float(value)
