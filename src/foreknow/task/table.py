"""Task tables: the (entity, seed time, label) rows of a task, read from a table or SQL over the snapshot.

Reading checks what a person may have got wrong and says it with counts: unknown entities, missing values, rows that
occur twice or in two splits. Rows that can't be used are dropped and counted, never silently.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa

from foreknow.errors import Finding, SourceError, TaskError, did_you_mean
from foreknow.source.keys import is_compatible, match_rows
from foreknow.source.snapshot import Snapshot
from foreknow.source.sql import fetch_all, quote
from foreknow.source.time import is_instant, seconds_sql
from foreknow.task.task import EntityTask, is_query

__all__ = ["TaskTable", "check_splits", "read_task_table"]

NO_TIME = (1 << 62) - 1
"""Seed time of tasks without time: later than every row."""


@dataclass(frozen=True, kw_only=True)
class TaskTable:
    """Usable rows of one split, in the order of the table.

    ``entity_row``: file row in the entity table, ``(N,)`` int32. ``seed_time``: Unix seconds, ``(N,)`` int64,
    `NO_TIME` if the task has none. ``labels``: as found, None if the table has no label column; ``label_dtype`` its
    DuckDB type. ``keys``: the entity columns (and the time column) as they were, for writing predictions.
    """

    split: str
    entity_row: np.ndarray
    seed_time: np.ndarray
    labels: pa.Array | None
    label_dtype: str | None
    keys: pa.Table
    findings: tuple[Finding, ...] = ()

    def __len__(self) -> int:
        return len(self.entity_row)

    def take(self, rows: np.ndarray) -> TaskTable:
        """A copy with some of the rows."""
        index = pa.array(rows)
        return TaskTable(
            split=self.split,
            entity_row=self.entity_row[rows],
            seed_time=self.seed_time[rows],
            labels=None if self.labels is None else self.labels.take(index),
            label_dtype=self.label_dtype,
            keys=self.keys.take(index),
            findings=self.findings,
        )


def read_task_table(
    snapshot: Snapshot,
    task: EntityTask,
    split: str,
    query: str | pa.Table,
    *,
    need_label: bool,
    keep_unlabelled: bool = False,
) -> TaskTable:
    """Read one split.

    Args:
        snapshot: Holds the schema's tables, and the task table if it is named rather than queried.
        task: The task.
        split: Which split; for messages.
        query: Name of a table, SQL over the snapshot, or the rows themselves.
        need_label: Whether a missing label column is an error.
        keep_unlabelled: Keep rows whose label is NULL.

    Raises:
        TaskError: Columns are missing or of the wrong kind, the SQL fails, or no row can be used.
    """
    where = f"task '{task.name}', {split}"
    with snapshot.connect() as connection:
        relation = _materialise(connection, snapshot, query, where)
        columns = {r[0]: r[1] for r in fetch_all(connection, f"DESCRIBE FROM {relation}")}
        _check_columns(task, columns, need_label, where)
        _check_key_types(task, columns, snapshot, where)
        has_label = task.label in columns
        time = seconds_sql(quote(task.time), columns[task.time]) if task.time else f"{NO_TIME}::BIGINT"
        given = [*task.entity_columns, *([task.time] if task.time else [])]
        select = ", ".join(quote(c) for c in given)
        label = f", {quote(task.label)} AS task_label" if has_label else ""
        rows = connection.sql(
            f"SELECT {select}, {time} AS task_seconds{label} FROM {relation} ORDER BY file_row_number"
        ).to_arrow_table()
        match = match_rows(
            connection,
            relation,
            rows.num_rows,
            task.entity_columns,
            snapshot[task.entity_table],
            task.entity_key,
        )
    seconds = rows.column("task_seconds").combine_chunks()
    findings: list[Finding] = []
    usable = np.ones(rows.num_rows, bool)

    def drop(name: str, bad: np.ndarray, message: str, hint: str | None = None) -> None:
        nonlocal usable
        count = int((bad & usable).sum())
        if count:
            findings.append(
                Finding(
                    name=name,
                    severity="warning",
                    count=count,
                    message=f"{where}: {count:,} of {rows.num_rows:,} rows {message}; they are left out",
                    hint=hint,
                )
            )
            usable &= ~bad

    null_entity = np.zeros(rows.num_rows, bool)
    for c in task.entity_columns:
        null_entity |= rows.column(c).is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
    drop("missing-entity", null_entity, f"have no {', '.join(task.entity_columns)}")
    examples = f" (e.g. {', '.join(match.examples)})" if match.examples else ""
    drop(
        "unknown-entity",
        (match.row < 0) & ~null_entity,
        f"name entities that are not in '{task.entity_table}'{examples}",
        f"load the missing rows of '{task.entity_table}' if they exist",
    )
    drop(
        "missing-seed-time",
        seconds.is_null().to_numpy(zero_copy_only=False),
        f"have no usable time in '{task.time}'",
    )
    labels = rows.column("task_label").combine_chunks() if has_label else None
    if labels is not None and not keep_unlabelled:
        drop("missing-label", labels.is_null().to_numpy(zero_copy_only=False), f"have no '{task.label}'")
    if not usable.any():
        reasons = "".join(f"\n- {f}" for f in findings) or " the table is empty"
        raise TaskError(f"{where}: none of {rows.num_rows:,} rows can be used:{reasons}", findings=findings)
    table = TaskTable(
        split=split,
        entity_row=match.row,
        seed_time=seconds.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64),
        labels=labels,
        label_dtype=columns.get(task.label),
        keys=rows.select(given),
        findings=tuple(findings),
    )
    return table if usable.all() else table.take(np.flatnonzero(usable))


def check_splits(task: EntityTask, splits: Mapping[str, TaskTable]) -> list[Finding]:
    """Findings about splits taken together: duplicates, shared rows, order in time.

    The same entity at the same seed time in two splits is an error; so is a training seed time after the last
    validation or test seed time begins, since the model would be judged on what it was taught.
    """
    findings: list[Finding] = []
    pairs = {}
    times = np.unique(np.concatenate([t.seed_time for t in splits.values()])) if splits else np.empty(0, np.int64)
    for name, t in splits.items():
        pair = t.entity_row.astype(np.int64) * len(times) + np.searchsorted(times, t.seed_time)  # one number per pair
        unique = np.unique(pair)
        if len(unique) < len(pair):
            extra = len(pair) - len(unique)
            findings.append(
                Finding(
                    name="duplicate-rows",
                    severity="warning",
                    count=extra,
                    message=f"task '{task.name}', {name}: {extra:,} of {len(pair):,} rows repeat an entity at one time",
                    hint="they count as often as they occur; add DISTINCT or GROUP BY to the task's SQL if not meant",
                )
            )
        pairs[name] = unique
    names = [s for s in ("train", "validation", "test") if s in splits]
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            both = np.concatenate([pairs[a], pairs[b]])
            shared = len(both) - len(np.unique(both))
            if shared:
                findings.append(
                    Finding(
                        name="shared-rows",
                        count=shared,
                        message=f"task '{task.name}': {shared:,} (entity, seed time) pairs stand in both {a} and {b}",
                        hint="a model must not be judged on rows it was trained on; make the splits disjoint",
                    )
                )
            elif task.time and int(splits[a].seed_time.max()) > int(splits[b].seed_time.min()):
                late = int((splits[a].seed_time > splits[b].seed_time.min()).sum())
                findings.append(
                    Finding(
                        name="split-order",
                        severity="warning",
                        count=late,
                        message=f"task '{task.name}': {late:,} of {len(splits[a]):,} rows of {a} have seed times after "
                        f"the first one of {b}; the score tells little about the future",
                        hint=f"let {a} end before {b} begins",
                    )
                )
    return findings


def _materialise(connection: duckdb.DuckDBPyConnection, snapshot: Snapshot, query: str | pa.Table, where: str) -> str:
    """Run SQL once into a table, numbered; or number a named table. Returns the relation."""
    if isinstance(query, pa.Table):
        connection.register("given_rows", query)
        query = "SELECT * FROM given_rows"
    if is_query(query):
        try:
            connection.execute(f"CREATE TEMP TABLE task_rows AS {query.strip().rstrip(';')}")
        except duckdb.Error as e:
            raise TaskError(f"{where}: the SQL fails: {str(e).strip()}") from e
        return "(SELECT *, rowid AS file_row_number FROM task_rows)"
    try:
        return snapshot[query].numbered_relation
    except SourceError as e:
        raise TaskError(f"{where}: {e}") from e


def _check_columns(task: EntityTask, columns: Mapping[str, str], need_label: bool, where: str) -> None:
    wanted = [
        *task.entity_columns,
        *([task.time] if task.time else []),
        *([task.label] if need_label else []),
    ]
    missing = [c for c in wanted if c not in columns]
    if missing:
        names = [c for c in columns if c != "file_row_number"]
        raise TaskError(
            f"{where}: no column {', '.join(map(repr, missing))}",
            hint=did_you_mean(missing[0], names, "columns"),
        )
    if task.time and not is_instant(columns[task.time]):
        raise TaskError(
            f"{where}: the time column '{task.time}' is {columns[task.time]}, not a date or timestamp",
            hint="cast it in SQL, e.g. to_timestamp(seconds) or make_date(year, 1, 1)",
        )


def _check_key_types(task: EntityTask, columns: Mapping[str, str], snapshot: Snapshot, where: str) -> None:
    entity = snapshot[task.entity_table].columns
    for column, key in zip(task.entity_columns, task.entity_key, strict=True):
        if not is_compatible(columns[column], entity[key]):
            raise TaskError(
                f"{where}: column '{column}' is {columns[column]} but names {task.entity_table}.{key}, "
                f"which is {entity[key]}",
                hint=f"cast it in SQL: CAST({quote(column)} AS {entity[key]})",
            )
