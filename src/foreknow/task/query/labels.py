"""The task tables of a resolved query, computed once, with a count of everything that was left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from foreknow.errors import Finding, Mark, TaskError
from foreknow.source.snapshot import Snapshot
from foreknow.source.sql import fetch_all, fetch_one, literal, reason
from foreknow.source.time import seconds_sql
from foreknow.task.query.bound import BoundColumn, BoundQuery, BoundTest, Combined, Kind
from foreknow.task.query.compile import compile_labels
from foreknow.task.query.expressions import column_sql, name_sql
from foreknow.task.query.resolve import SPLITS, ResolvedQuery
from foreknow.task.split import moment_text
from foreknow.types import TaskType

__all__ = ["Labels", "SplitLabels", "check_ids", "compute_labels", "score_rows"]


@dataclass(frozen=True, kw_only=True)
class SplitLabels:
    """One split: its rows, and how they came to be so few.

    Attributes:
        split: Its name.
        rows: Key columns, seed time and label, ordered by seed time and key.
        seed_times: The grid's; None for static targets.
        pairs: Entities times seed times.
        existing: Of these, where the entity's own time is not after the seed time.
        kept: Of these, where WHERE is true.
        premise: Of these, where ASSUMING is true.
    """

    split: str
    rows: pa.Table
    seed_times: tuple[int, ...] | None
    pairs: int
    existing: int
    kept: int
    premise: int

    @property
    def no_value(self) -> int:
        """Rows dropped because their label has no value."""
        return self.premise - int(self.rows.num_rows)

    @property
    def dropped(self) -> dict[str, int]:
        """Eligible rows that are left out, by reason."""
        reasons = {"ASSUMING is not true": self.kept - self.premise, "the label has no value": self.no_value}
        return {k: v for k, v in reasons.items() if v}


@dataclass(frozen=True, kw_only=True)
class Labels:
    """Task tables of all splits. ``seen_before``: the share of a link task's label items the entity had before."""

    splits: Mapping[str, SplitLabels]
    seen_before: float | None
    findings: tuple[Finding, ...]


def compute_labels(resolved: ResolvedQuery, snapshot: Snapshot) -> Labels:
    """Run the query for all splits.

    Raises:
        TaskError: T01: all training labels are equal. T05: no rows are left. T06: listed ids don't exist.
    """
    check_ids(resolved.bound, snapshot)
    with snapshot.connect() as connection:
        splits = _grid_splits(resolved, snapshot, connection) if resolved.grid else _static(resolved, connection)
        for split in splits.values():
            if not split.rows.num_rows:
                raise _nothing_left(resolved, split, snapshot)
        _check_varies(resolved, splits["train"])
        seen = _seen_before(resolved, connection, splits)
    findings = [*resolved.findings, *(f for s in splits.values() for f in _dropped(s))]
    return Labels(splits=splits, seen_before=seen, findings=tuple(findings))


def score_rows(resolved: ResolvedQuery, snapshot: Snapshot, at: int | None) -> pa.Table:
    """Rows to predict for at one time; with ``in_population`` if the query lists ids.

    Raises:
        TaskError: T05: no entity is eligible. T06: listed ids don't exist.
    """
    check_ids(resolved.bound, snapshot)
    with snapshot.connect() as connection:
        rows = _run(connection, resolved.scoring_sql(at), resolved.bound)
    if not rows.num_rows:
        when = "" if at is None else f" at {moment_text(at)}"
        raise _error(resolved.bound, "T05", f"no entity to predict for{when}", "loosen WHERE, or choose another time")
    return rows


def check_ids(bound: BoundQuery, snapshot: Snapshot) -> None:
    """Check that listed ids exist.

    Raises:
        TaskError: T06, with those that don't.
    """
    written = bound.query.entity
    if written.ids is None:
        return
    table, (key,) = bound.entity, bound.entity.primary_key
    ids = list(dict.fromkeys(str(v.value) for v in written.ids))
    values = ", ".join(f"({literal(i)})" for i in ids)
    column = f"CAST({name_sql(key)} AS {table[key].dtype})"
    with snapshot.connect() as connection:
        missing = fetch_all(
            connection,
            f"SELECT id FROM (VALUES {values}) AS t(id) WHERE TRY_CAST(id AS {table[key].dtype}) IS NULL "
            f"OR TRY_CAST(id AS {table[key].dtype}) NOT IN (SELECT {column} FROM {name_sql(table.name)} "
            f"WHERE {name_sql(key)} IS NOT NULL)",
        )
    if missing:
        names = [i for i in ids if i in {m[0] for m in missing}]
        shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
        message = f"{len(names)} of {len(ids)} ids {'is' if len(names) == 1 else 'are'} not in {table.name}: {shown}"
        hint = "remove it, or load the row" if len(names) == 1 else "remove them, or load the rows"
        start, end = written.ids_span
        raise TaskError.at(bound.query.text, [Mark(code="T06", message=message, hint=hint, start=start, end=end)])


def _grid_splits(
    resolved: ResolvedQuery, snapshot: Snapshot, connection: duckdb.DuckDBPyConnection
) -> dict[str, SplitLabels]:
    """All seed times in one run, then split by seed time: the tables are read once."""
    grid, layout = resolved.grid, resolved.layout
    assert grid is not None
    assert layout.time is not None
    seeds = sorted({*grid.train, *grid.validation, *grid.test})
    rows = _run(connection, compile_labels(resolved.bound, resolved.schema, seeds, with_dropped=True), resolved.bound)
    at = rows.column(layout.time).cast(pa.timestamp("s")).cast(pa.int64()).to_numpy()
    existing = _existing(resolved, snapshot, connection, seeds)
    total = existing.pop(None)
    found = {}
    for split in SPLITS:
        times = grid.splits[split]
        part = rows.filter(pa.array(np.isin(at, times)))
        found[split] = _split(
            split, part, layout.label, times, pairs=total * len(times), existing=sum(existing[t] for t in times)
        )
    return found


def _static(resolved: ResolvedQuery, connection: duckdb.DuckDBPyConnection) -> dict[str, SplitLabels]:
    found = {}
    for split in SPLITS:
        rows = _run(connection, resolved.sql(split, with_dropped=True), resolved.bound)
        found[split] = _split(split, rows, resolved.layout.label, None, pairs=rows.num_rows, existing=rows.num_rows)
    return found


def _split(
    split: str, rows: pa.Table, label: str, times: tuple[int, ...] | None, *, pairs: int, existing: int
) -> SplitLabels:
    kept = rows.num_rows
    rows = rows.filter(rows.column("premise"))
    premise = rows.num_rows
    rows = rows.drop_columns(["premise"])
    return SplitLabels(
        split=split,
        rows=rows.filter(rows.column(label).is_valid()),
        seed_times=times,
        pairs=pairs,
        existing=existing,
        kept=kept,
        premise=premise,
    )


def _run(connection: duckdb.DuckDBPyConnection, sql: str, bound: BoundQuery) -> pa.Table:
    try:
        return connection.sql(sql).to_arrow_table()
    except duckdb.Error as e:
        message = f"the query can't be run on these tables: {reason(e)}"
        raise _error(bound, "T08", message.rstrip("."), "check that linked key columns have the same type") from e


def _existing(
    resolved: ResolvedQuery, snapshot: Snapshot, connection: duckdb.DuckDBPyConnection, seeds: list[int]
) -> dict[int | None, int]:
    """How many entities there are (under None), and at each seed time."""
    entity = resolved.bound.entity
    staged = snapshot[entity.name]
    if entity.time_column is None:
        return {None: staged.num_rows, **dict.fromkeys(seeds, staged.num_rows)}
    seconds = seconds_sql(name_sql(entity.time_column), staged.columns[entity.time_column])
    times = connection.sql(f"SELECT {seconds} AS s FROM {staged.relation}").to_arrow_table().column("s").drop_null()
    ordered = np.sort(times.to_numpy())
    counts = np.searchsorted(ordered, np.array(seeds), side="right")  # time <= seed time
    return {None: staged.num_rows, **{t: int(n) for t, n in zip(seeds, counts, strict=True)}}


def _dropped(split: SplitLabels) -> list[Finding]:
    return [
        Finding(
            name="dropped-rows",
            severity="info",
            count=count,
            message=f"{split.split}: {count:,} of {split.kept:,} eligible rows are left out: {why}",
        )
        for why, count in split.dropped.items()
    ]


def _check_varies(resolved: ResolvedQuery, train: SplitLabels) -> None:
    """Refuse labels that are all the same."""
    if resolved.bound.type in (TaskType.MULTILABEL, TaskType.LINK, TaskType.REPEATED_LINK):
        return
    if resolved.bound.num_outputs > 1:
        return
    values = pc.unique(train.rows.column(resolved.layout.label))
    if len(values) == 1:
        value = values[0].as_py()
        shown = str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else value
        message = f"all {train.rows.num_rows:,} training labels are {shown}: nothing to learn"
        hint = "check the comparison, or widen start"
        raise _error(resolved.bound, "T01", message, hint)


def _nothing_left(resolved: ResolvedQuery, split: SplitLabels, snapshot: Snapshot) -> TaskError:
    """T05, with the place where the last row was lost."""
    bound = resolved.bound
    query, start_end = bound.query, tuple(bound.query.target.span)
    steps = f"{split.pairs:,} pairs, {split.existing:,} with existing entity"
    hint = "choose other split times, or load more data"
    if query.where is not None:
        steps += f", {split.kept:,} after WHERE"
        if not split.kept:
            start_end, hint = tuple(query.where_at), "loosen WHERE" + _extreme(bound, snapshot)
    if query.assuming is not None and split.kept:
        steps += f", {split.premise:,} after ASSUMING"
        if not split.premise:
            start_end, hint = tuple(query.assuming_at), "loosen ASSUMING, or widen start"
    if split.premise:
        steps += ", 0 with a value"
        hint = "widen the window, or predict COUNT or EXISTS"
    where = "" if split.split == "train" else f" in {split.split}"
    return TaskError.at(
        query.text,
        [
            Mark(
                code="T05",
                message=f"no seed rows left{where}: {steps}",
                hint=hint,
                start=start_end[0],
                end=start_end[1],
            )
        ],
    )


def _extreme(bound: BoundQuery, snapshot: Snapshot) -> str:
    """For the first comparison of a number in WHERE, how far its column goes."""
    where = bound.where
    parts = where.parts if isinstance(where, Combined) else (where,)
    for part in parts:
        if not isinstance(part, BoundTest) or part.operator not in (">", ">=", "<", "<="):
            continue
        operand = part.operand
        if not isinstance(operand, BoundColumn) or operand.kind is not Kind.NUMERIC:
            continue
        what, word = ("max", "largest") if part.operator.startswith(">") else ("min", "smallest")
        value = column_sql(name_sql(operand.column.name), operand.column, operand.kind)
        with snapshot.connect() as connection:
            (found,) = fetch_one(connection, f"SELECT {what}({value}) FROM {name_sql(operand.table.name)}")
        if found is not None:
            return f"; the {word} {operand.column.name} is {found:g}"
    return ""


def _seen_before(
    resolved: ResolvedQuery, connection: duckdb.DuckDBPyConnection, splits: Mapping[str, SplitLabels]
) -> float | None:
    """Of a link task's label items in training, the share the entity had before."""
    bound = resolved.bound
    if not bound.type.is_link:
        return None
    if bound.among != "ALL":
        return 1.0 if bound.among == "PAST" else 0.0
    assert resolved.grid is not None
    past = compile_labels(replace(bound, among="PAST"), resolved.schema, resolved.grid.train)
    label = resolved.layout.label
    seen = _run(connection, past, bound).column(label)
    total = _num_items(splits["train"].rows.column(label))
    return _num_items(seen) / total if total else None


def _num_items(lists: Any) -> int:
    return int(pc.sum(pc.list_value_length(lists)).as_py() or 0)


def _error(bound: BoundQuery, code: str, message: str, hint: str) -> TaskError:
    start, end = bound.query.target.span
    return TaskError.at(bound.query.text, [Mark(code=code, message=message, hint=hint, start=start, end=end)])
