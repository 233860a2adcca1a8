"""Times that can't be right: rows dated in the future, seeds before and after the data, entities not born yet."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

import duckdb
import numpy as np
from numpy.typing import NDArray

from foreknow.errors import Finding
from foreknow.schema.table import Schema, Table
from foreknow.source.snapshot import Snapshot
from foreknow.source.sql import fetch_one, quote
from foreknow.source.time import is_instant, seconds_sql
from foreknow.task.audit.signals import time_sql
from foreknow.task.label import LabelEncoding, encode_labels
from foreknow.task.table import TaskTable
from foreknow.task.task import EntityTask
from foreknow.types import NEVER, Stype, TaskType

__all__ = [
    "Span",
    "day",
    "find_early_entities",
    "find_future_rows",
    "find_outside_seeds",
    "find_untimed",
    "measure_spans",
]

CALENDAR = (-62_135_596_800, 253_402_300_799)  # the years 1 to 9999, Unix seconds
QUANTILE_ROWS = 200_000  # that quantiles are taken of
MIN_ROWS = 1_000  # of a table, to say that a few of its rows are far from the others


@dataclass(frozen=True, kw_only=True)
class Span:
    """Instants of one column, Unix seconds: the earliest, the latest, and where all but one in a thousand lie."""

    table: str
    column: str
    num_rows: int
    first: int
    last: int
    low: int
    high: int

    @property
    def end(self) -> int:
        """Beyond it lies nothing that belongs to the data: the last row, or far beyond nearly all rows."""
        return min(self.last, 2 * self.high - self.low) if self.num_rows >= MIN_ROWS else self.last


def measure_spans(connection: duckdb.DuckDBPyConnection, snapshot: Snapshot, schema: Schema) -> dict[str, list[Span]]:
    """The time column of each table, or its instants if it has none; columns without a value are left out."""
    spans: dict[str, list[Span]] = {}
    for table in schema:
        staged = snapshot[table.name]
        instants = (
            [table.time_column] if table.time_column else [c.name for c in table.columns if c.stype is Stype.TIMESTAMP]
        )
        names = [c for c in instants if is_instant(staged.columns[c])]
        if not names:
            continue
        parts = []
        step = max(1, staged.num_rows // QUANTILE_ROWS)
        quantiles = f"quantile_disc({{}}, [0.001, 0.999]) FILTER (r % {step} = 0)"
        for t in (f"t{i}" for i in range(len(names))):
            parts += [f"count({t})", f"min({t})", f"max({t})", quantiles.format(t)]
        values = ", ".join(f"{seconds_sql(quote(c), staged.columns[c])} AS t{i}" for i, c in enumerate(names))
        given = f"(SELECT {values}, file_row_number AS r FROM {staged.numbered_relation})"
        row = fetch_one(connection, f"SELECT {', '.join(parts)} FROM {given}")
        spans[table.name] = [
            Span(
                table=table.name,
                column=name,
                num_rows=row[4 * i],
                first=row[4 * i + 1],
                last=row[4 * i + 2],
                low=(row[4 * i + 3] or (row[4 * i + 1],))[0],
                high=(row[4 * i + 3] or (row[4 * i + 2],))[-1],
            )
            for i, name in enumerate(names)
            if row[4 * i]
        ]
    return spans


def find_future_rows(
    connection: duckdb.DuckDBPyConnection,
    snapshot: Snapshot,
    schema: Schema,
    spans: Mapping[str, list[Span]],
    now: int,
) -> list[Finding]:
    """Instants later than now, or far beyond all others of their table."""
    findings = []
    for span in (s for found in spans.values() for s in found):
        limit = min(now, span.end)
        if span.last <= limit:
            continue
        staged = snapshot[span.table]
        seconds = seconds_sql(quote(span.column), staged.columns[span.column])
        (count,) = fetch_one(connection, f"SELECT count(*) FROM {staged.relation} WHERE {seconds} > {limit}")
        is_time = schema[span.table].time_column == span.column
        what = "rows are dated" if is_time else "values lie"
        beyond = "in the future" if limit == now else f"far beyond the others, which end about {day(span.high)}"
        so = "no prediction made before sees such rows" if is_time else "they are hidden from predictions made before"
        findings.append(
            Finding(
                name="future-dates",
                severity="warning",
                table=span.table,
                column=span.column,
                count=count,
                message=f"{count:,} of {span.num_rows:,} {what} {beyond}, up to {day(span.last)}; {so}",
                hint="mend the dates if they are wrong; make placeholders such as 9999-12-31 NULL, in a derived column",
                evidence={"last": span.last},
            )
        )
    return findings


def find_outside_seeds(
    task: EntityTask,
    schema: Schema,
    tables: Mapping[str, TaskTable],
    spans: Mapping[str, list[Span]],
    labels: LabelEncoding,
    now: int,
) -> list[Finding]:
    """Seed times before any data, and labelled ones after all of it."""
    timed = [s for found in spans.values() for s in found if schema[s.table].time_column is not None]
    if not timed:
        return []
    if task.time is None:
        return [
            Finding(
                name="no-seed-time",
                severity="warning",
                message=f"task '{task.name}' has no time column although tables have one: every row of every table "
                "is visible to every prediction",
                hint="give the task tables a time column and name it under time:",
            )
        ]
    first, last = min(s.first for s in timed), max(min(s.end, now) for s in timed)
    findings = []
    for name, table in tables.items():
        early = int((table.seed_time < first).sum())
        if early:
            findings.append(
                Finding(
                    name="seeds-before-data",
                    severity="error" if early == len(table) else "warning",
                    count=early,
                    message=f"task '{task.name}', {name}: {early:,} of {len(table):,} seed times lie before the "
                    f"first row of any table ({day(first)})",
                    hint="start later, or check the unit of the time column",
                    evidence={"first": first},
                )
            )
        late = int(((table.seed_time >= last) & _labelled(table, labels)).sum())
        if late:
            findings.append(
                Finding(
                    name="seeds-after-data",
                    severity="warning",
                    count=late,
                    message=f"task '{task.name}', {name}: {late:,} of {len(table):,} rows have a label although "
                    f"their seed time is not before the last row of any table ({day(last)}): what they are labelled "
                    "with can't have been seen yet",
                    hint="end earlier, so that the label's window lies within the data; leave the label out of rows to "
                    "be predicted",
                    evidence={"last": last},
                )
            )
    return findings


def find_early_entities(
    connection: duckdb.DuckDBPyConnection,
    snapshot: Snapshot,
    task: EntityTask,
    table: Table,
    tables: Mapping[str, TaskTable],
) -> list[Finding]:
    """Entities whose own row is later than the seed time."""
    if table.time_column is None or task.known:
        return []
    staged = snapshot[table.name]
    rows = connection.sql(f"SELECT {time_sql(table, staged)} FROM {staged.relation}").to_arrow_table()
    born = rows.column(0).combine_chunks().fill_null(NEVER).to_numpy(zero_copy_only=False)
    findings = []
    for name, given in tables.items():
        time = born[given.entity_row]
        count = int((time > given.seed_time if task.inclusive else time >= given.seed_time).sum())
        if count:
            findings.append(
                Finding(
                    name="entity-after-seed",
                    severity="error" if count == len(given) else "warning",
                    table=table.name,
                    count=count,
                    message=f"task '{task.name}', {name}: {count:,} of {len(given):,} rows are predicted at a time "
                    "before the entity's own time; nothing of such a row is known then, so all of it is hidden",
                    hint="list columns that are known ahead under known: [...], or predict at a later time",
                )
            )
    return findings


def find_untimed(schema: Schema, snapshot: Snapshot) -> list[Finding]:
    """Tables whose rows every prediction sees."""
    if all(t.time_column is None for t in schema):
        return []
    return [
        Finding(
            name="always-visible",
            severity="info",
            table=t.name,
            count=snapshot[t.name].num_rows,
            message=f"it has no time column: each prediction sees all {snapshot[t.name].num_rows:,} rows as they are",
            hint="right for what doesn't change; give it a time column if rows are added or filled in later",
        )
        for t in schema
        if t.time_column is None
    ]


def _labelled(table: TaskTable, labels: LabelEncoding) -> NDArray[np.bool_]:
    if table.labels is None:
        return np.zeros(len(table), bool)
    target = encode_labels(labels, table.labels)
    if labels.type is TaskType.MULTICLASS:
        return np.asarray(target >= -1)
    return np.asarray(np.isfinite(target.reshape(len(target), -1)).all(axis=1))


def day(seconds: int) -> str:
    """The date of an instant, in words if it lies outside the years 1 to 9999."""
    if not CALENDAR[0] <= seconds <= CALENDAR[1]:
        return "a year before 1" if seconds < 0 else "a year after 9999"
    return str((dt.datetime(1970, 1, 1) + dt.timedelta(seconds=seconds)).date())
