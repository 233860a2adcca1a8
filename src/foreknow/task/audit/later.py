"""Later rows that come in by another door: columns that sum them up, and untimed rows that belong to them.

The path entity, untimed table, timed table is safe: time hides the last step. It is not safe if the untimed (or once
timed and later overwritten) row holds the number of those rows, their sum or the time of the last one; nor if rows
without a time link both to the entity and to a timed row, as the items of an order do: the entity's model then sees
items of orders it must not see.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foreknow.errors import Finding
from foreknow.schema.storage import storage_kind
from foreknow.schema.table import Column, ForeignKey, Schema, Table
from foreknow.source.snapshot import Snapshot
from foreknow.source.sql import quote
from foreknow.source.time import is_instant, seconds_sql
from foreknow.task.audit.label import rank_correlation
from foreknow.task.audit.power import Floats, Mask
from foreknow.task.audit.rows import LabelledRows
from foreknow.task.audit.signals import key_columns, time_sql
from foreknow.task.audit.times import day
from foreknow.task.task import EntityTask
from foreknow.types import DAY_S

__all__ = ["find_late_rows", "find_later_aggregates"]

MAX_SAMPLE = 4_000
MIN_INFORMATIVE = 20  # rows whose aggregate changes after the seed time
MIN_FOLLOWING = 100
EQUAL_SHARE = 0.95
FOLLOWS, FOLLOWS_GAP = 0.97, 0.03  # rank correlation


@dataclass(frozen=True, kw_only=True)
class _Aggregate:
    """An aggregate over child rows: how it is called, its SQL over ``v``, and the SQL of ``v``.

    ``grows``: it becomes larger with every row, as a count and the time of the last row do.
    """

    words: str
    function: str
    value: str
    is_instant: bool = False
    is_earliest: bool = False
    grows: bool = False


def find_later_aggregates(
    connection: duckdb.DuckDBPyConnection,
    snapshot: Snapshot,
    schema: Schema,
    rows: LabelledRows,
    rng: np.random.Generator,
) -> list[Finding]:
    """Columns equal to (error), or following (warning), an aggregate of timed child rows later ones included."""
    reference = int(np.quantile(rows.seed_time, 0.5, method="lower"))
    findings: dict[tuple[str, str], Finding] = {}
    for table in schema:
        columns = _candidates(table, snapshot)
        number = snapshot[table.name].num_rows
        if not columns or number < MIN_INFORMATIVE:
            continue
        at = np.sort(rng.choice(number, min(number, MAX_SAMPLE), replace=False))
        connection.register("sampled_rows", pa.table({"r": at}))
        for child in schema:
            for key in child.foreign_keys:
                target = key_columns(schema, snapshot, child, key)
                if key.table == table.name and child.time_column is not None and target is not None:
                    for f in _compare(connection, snapshot, table, columns, child, key, target, reference):
                        place = (table.name, f.column or "")
                        if place not in findings or f.severity == "error" != findings[place].severity:
                            findings[place] = f
        connection.unregister("sampled_rows")
    return list(findings.values())


def _candidates(table: Table, snapshot: Snapshot) -> list[tuple[Column, bool, str]]:
    """Columns that could be an aggregate: whether an instant, and SQL of the number."""
    found = []
    for column in table.features:
        dtype = snapshot[table.name].columns[column.name]
        if storage_kind(dtype) in ("integer", "float"):
            found.append((column, False, f"CAST({quote(column.name)} AS DOUBLE)"))
        elif storage_kind(dtype) == "time" and is_instant(dtype):
            found.append((column, True, f"CAST({seconds_sql(quote(column.name), dtype)} AS DOUBLE)"))
    return found


def _aggregates(child: Table, key: ForeignKey, snapshot: Snapshot) -> list[_Aggregate]:
    time = time_sql(child, snapshot[child.name])
    found = [
        _Aggregate(words="number of rows", function="count(v)", value="1", grows=True),
        _Aggregate(words="number of dated rows", function="count(v)", value=time, grows=True),
        _Aggregate(words="latest time", function="max(v)", value=time, is_instant=True, grows=True),
        _Aggregate(words="earliest time", function="min(v)", value=time, is_instant=True, is_earliest=True),
    ]
    for column in child.features:
        if storage_kind(snapshot[child.name].columns[column.name]) in ("integer", "float"):
            c = f"CAST({quote(column.name)} AS DOUBLE)"
            for function, word in (("sum", "sum"), ("avg", "mean"), ("max", "largest value")):
                words = f"{word} of '{column.name}'"
                found.append(_Aggregate(words=words, function=f"{function}(v)", value=c, grows=function == "sum"))
    return found


def _compare(
    connection: duckdb.DuckDBPyConnection,
    snapshot: Snapshot,
    table: Table,
    columns: Sequence[tuple[Column, bool, str]],
    child: Table,
    key: ForeignKey,
    target: tuple[str, ...],
    reference: int,
) -> list[Finding]:
    aggregates = _aggregates(child, key, snapshot)
    values, before, everything = _measure(
        connection, snapshot, table, columns, child, key, target, aggregates, reference
    )
    findings = []
    for i, (column, is_time, _) in enumerate(columns):
        following: Finding | None = None
        for j, aggregate in enumerate(aggregates):
            # A first time that lies ahead is hidden in a table without time, which is right.
            if aggregate.is_instant != is_time or (aggregate.is_earliest and table.time_column is None):
                continue
            share, num = _equal(values[:, i], before[:, j], everything[:, j], DAY_S if is_time else 0)
            if share >= EQUAL_SHARE:
                findings.append(_finding(table, column, child, aggregate.words, reference, num, share))
                following = None
                break
            if following is None and aggregate.grows:
                following = _follows(
                    table, column, child, aggregate, reference, values[:, i], before[:, j], everything[:, j]
                )
        if following is not None:
            findings.append(following)
    return findings


def _measure(
    connection: duckdb.DuckDBPyConnection,
    snapshot: Snapshot,
    table: Table,
    columns: Sequence[tuple[Column, bool, str]],
    child: Table,
    key: ForeignKey,
    target: tuple[str, ...],
    aggregates: Sequence[_Aggregate],
    reference: int,
) -> tuple[Floats, Floats, Floats]:
    """Columns of sampled rows seen at the reference time, and aggregates up to it and over all time; NaN missing."""
    parent, staged = snapshot[table.name], snapshot[child.name]
    seen = f"{time_sql(table, parent)} <= {reference}" if table.time_column is not None else "true"
    own = [f"{sql} AS v{i}" for i, (_, _, sql) in enumerate(columns)]
    keys = [f"{quote(b)} AS k{i}" for i, b in enumerate(target)]
    time = time_sql(child, staged)
    parts = [f"any_value(p.v{i}) AS v{i}" for i in range(len(columns))]
    values = list(dict.fromkeys(a.value for a in aggregates))
    for j, a in enumerate(aggregates):
        of = a.function.replace("v)", f"x{values.index(a.value)})")
        parts.append(f"CAST({of} FILTER (t <= {reference}) AS DOUBLE) AS b{j}")
        parts.append(f"CAST({of} AS DOUBLE) AS a{j}")
    inner = [f"{time} AS t", *(f"{quote(a)} AS k{i}" for i, a in enumerate(key.columns))]
    inner += [f"{v} AS x{i}" for i, v in enumerate(values)]
    on = " AND ".join(f"x.k{i} = p.k{i}" for i in range(len(target)))
    result = connection.sql(
        f"SELECT {', '.join(parts)} FROM (SELECT file_row_number AS i, {', '.join([*own, *keys])} "
        f"FROM {parent.numbered_relation} WHERE file_row_number IN (SELECT r FROM sampled_rows) AND {seen}) p "
        f"LEFT JOIN (SELECT {', '.join(inner)} FROM {staged.relation}) x ON {on} GROUP BY p.i ORDER BY p.i"
    ).to_arrow_table()

    def matrix(letter: str, size: int) -> Floats:
        if not size:
            return np.empty((result.num_rows, 0))
        return np.stack([result.column(f"{letter}{i}").to_numpy() for i in range(size)], axis=1).astype(np.float64)

    return matrix("v", len(columns)), matrix("b", len(aggregates)), matrix("a", len(aggregates))


def _informative(value: Floats, before: Floats, everything: Floats) -> Mask:
    """Rows whose aggregate changes after the reference time; what had no value by then may just be a copy."""
    return np.asarray(np.isfinite(value) & np.isfinite(before) & np.isfinite(everything) & (before != everything))


def _equal(value: Floats, before: Floats, everything: Floats, tolerance: float) -> tuple[float, int]:
    """Share of rows, among those that tell, on which a column is the aggregate over all time; 0 if too few tell."""
    at = _informative(value, before, everything)
    x, a = value[at], everything[at]
    if len(x) < MIN_INFORMATIVE or len(np.unique(x)) < 3:
        return 0.0, len(x)
    if tolerance and (x % DAY_S == 0).all():
        hit: NDArray[np.bool_] = x == a // DAY_S * DAY_S  # a date, of an instant
    else:
        hit = np.isclose(x, a, rtol=1e-6, atol=1e-6 if not tolerance else 1.0)
    return float(hit.mean()), len(x)


def _follows(
    table: Table,
    column: Column,
    child: Table,
    aggregate: _Aggregate,
    reference: int,
    value: Floats,
    before: Floats,
    everything: Floats,
) -> Finding | None:
    at = _informative(value, before, everything) & (before != 0)  # those that were there
    if at.sum() < MIN_FOLLOWING:
        return None
    with_later = rank_correlation(value[at], everything[at])
    without = rank_correlation(value[at], before[at]) if abs(with_later) >= FOLLOWS else 0.0
    if abs(with_later) < FOLLOWS or abs(with_later) - abs(without) < FOLLOWS_GAP:
        return None
    return Finding(
        name="later-aggregate",
        severity="warning",
        table=table.name,
        column=column.name,
        count=int(at.sum()),
        message=f"it follows the {aggregate.words} in '{child.name}' with rows after {day(reference)} (rank "
        f"correlation {with_later:.3f}) closer than without them ({without:.3f}), on "
        f"{int(at.sum()):,} rows: it seems to be "
        "computed from rows that a prediction made then must not see",
        hint="set it to ignore; the model counts and sums up visible rows by itself",
        evidence={"correlation_with_later": round(with_later, 4), "correlation_without": round(without, 4)},
    )


def _finding(table: Table, column: Column, child: Table, words: str, reference: int, num: int, share: float) -> Finding:
    return Finding(
        name="later-aggregate",
        table=table.name,
        column=column.name,
        count=num,
        message=f"it is the {words} in '{child.name}' over all time: so on {share:.1%} of {num:,} rows for which rows "
        f"after {day(reference)} make a difference; a prediction made then must not see them",
        hint="set it to ignore; the model counts and sums up visible rows by itself",
        evidence={"share_equal": round(share, 4), "rows": num, "reference": reference},
    )


def find_late_rows(
    connection: duckdb.DuckDBPyConnection,
    snapshot: Snapshot,
    schema: Schema,
    task: EntityTask,
    rows: LabelledRows,
) -> list[Finding]:
    """Rows without a time that belong to timed rows later than the seed time, and link to the entity directly."""
    reference = int(np.quantile(rows.seed_time, 0.5, method="lower"))
    findings = []
    for table in schema:
        if table.time_column is not None or table.kind == "edge" or table.name == task.entity_table:
            continue
        direct = [k for k in table.foreign_keys if k.table == task.entity_table]
        for key in table.foreign_keys:
            owner = schema[key.table]
            target = key_columns(schema, snapshot, table, key)
            if not [k for k in direct if k != key] or owner.time_column is None or target is None:
                continue
            on = " AND ".join(f"x.{quote(a)} = p.k{i}" for i, a in enumerate(key.columns))
            time = time_sql(owner, snapshot[owner.name])
            keys = ", ".join(f"{quote(b)} AS k{i}" for i, b in enumerate(target))
            relation = connection.sql(
                f"SELECT count(*), count(*) FILTER (p.t > {reference}) FROM {snapshot[table.name].relation} x JOIN "
                f"(SELECT {keys}, {time} AS t FROM {snapshot[owner.name].relation}) p ON {on}"
            )
            count, late = relation.fetchall()[0]
            if not late:
                continue
            through = next(k for k in direct if k != key)
            findings.append(
                Finding(
                    name="late-rows",
                    table=table.name,
                    column=through.name,
                    count=late,
                    message=f"{late:,} of {count:,} rows belong to rows of '{owner.name}' (by {key.name}) dated after "
                    f"{day(reference)}, but have no time of their own and link to '{task.entity_table}' directly: "
                    "a prediction made then sees them",
                    hint=f"give the table the time of its '{owner.name}' row, or leave out the link {through.name}: "
                    f"the model reaches the rows through '{owner.name}', whose time hides them",
                    evidence={"rows": count, "late": late, "reference": reference},
                )
            )
            break
    return findings
