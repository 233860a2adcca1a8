"""What changes after the fact: attributes and rows that are filled in when later things are known already.

A strong feature is no leak. What tells them apart is time: what was recorded before a moment can't know the time after
it better than the time before it. Three kinds of evidence are looked for, each only of columns that predict the label:

- *hindsight*: a column tells who is active after a seed time clearly better than it tells who was active in any window
  of the same length before (always among those active in the window before it);
- *certainty*: of entities without any row in a timed table yet, those with a value have rows later, practically all of
  them, and the others often don't;
- *hidden instants*: instants of a row lie after the seed time, and that they do predicts the label.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foreknow.errors import Finding
from foreknow.schema.table import ForeignKey, Schema, Table
from foreknow.source.snapshot import Snapshot
from foreknow.source.sql import quote
from foreknow.task.audit.power import (
    MIN_CLASS,
    Bins,
    Floats,
    Mask,
    auc,
    auc_error,
    bin_codes,
    bin_numbers,
    cross_fitted,
    folds,
)
from foreknow.task.audit.rows import LabelledRows, Power
from foreknow.task.audit.signals import Activity, Signal, Signals, column_sql, dictionary_codes, key_columns, time_sql
from foreknow.task.audit.times import Span, day
from foreknow.task.task import EntityTask
from foreknow.types import NEVER

__all__ = ["find_certainty", "find_hidden_instants", "find_hindsight", "is_relevant"]

Place = tuple[str, str | None]

RELEVANT_ERRORS = 4.0  # standard errors
RELEVANT_AUC, RELEVANT_R2 = 0.55, 0.01
HIDDEN_AUC, HIDDEN_R2 = 0.6, 0.05

CERTAIN, SEEMS_CERTAIN, MAX_BASE = 0.985, 0.95, 0.7  # shares of entities active later
MIN_CERTAIN = 30  # entities with such a value

MAX_ENTITIES = 10_000
LOOKBACK = 1  # windows in which an entity must have been active
WINDOWS = 5  # before the reference time
MANY = 0.8  # share of active entities from which it is asked who is active more than usual
MAX_GAPS = 4  # a window is at most so many times as long as seed times are apart
MIN_WINDOWS = 3  # of the earlier windows that must be judged
GAP, GAP_ERRORS = 0.08, 4.0


def is_relevant(power: Power) -> bool:
    """Whether a column predicts the label at all."""
    return power.errors >= RELEVANT_ERRORS and power.value >= (RELEVANT_R2 if power.is_number else RELEVANT_AUC)


def find_hidden_instants(rows: LabelledRows, signals: Signals, task: EntityTask) -> list[Finding]:
    """Instants of the entity's row or a parent's that lie after the seed time, and thereby predict the label.

    A date that was planned ahead (the end of a contract) looks the same; only a person knows.
    """
    findings = []
    for signal in (s for s in signals.own if s.hidden is not None):
        assert signal.hidden is not None
        count = int(signal.hidden.sum())
        power = rows.power(signal.hidden.astype(np.int64))
        if not count or power.errors < RELEVANT_ERRORS:
            continue
        if power.value < (HIDDEN_R2 if power.is_number else HIDDEN_AUC):
            continue
        findings.append(
            Finding(
                name="instant-after-seed",
                severity="warning",
                table=signal.table,
                column=signal.column,
                count=count,
                message=f"on {count:,} of {len(rows):,} labelled rows it lies after the seed time, and whether it does "
                f"predicts label '{task.label}' by itself ({power}): it seems to be filled in or moved later",
                hint="set it to ignore if it is overwritten, like a last login; if it is planned ahead, like the end "
                "of a contract, allow it",
                evidence={power.measure.lower(): round(power.value, 4), "share_after": round(count / len(rows), 4)},
            )
        )
    return findings


def find_certainty(rows: LabelledRows, signals: Signals, powers: Mapping[int, Power], schema: Schema) -> list[Finding]:
    """Columns, and rows of untimed tables, that only entities have which are active later."""
    order = np.lexsort((rows.seed_time, rows.entity_row))  # each entity once, at its first seed time
    once = np.zeros(len(rows), bool)
    once[order[np.unique(rows.entity_row[order], return_index=True)[1]]] = True
    candidates = [s for s in signals.own if s.hidden is None]
    candidates += [s for s in signals.children if schema[s.table].time_column is None]
    findings: dict[Place, Finding] = {}
    for signal in candidates:
        place = (signal.table, signal.column)
        if place in findings or not is_relevant(powers[id(signal)]):
            continue
        for activity in signals.activity:
            found = _certain(rows, signal, activity, once)
            if found is not None:
                findings[place] = _certain_finding(signal, activity, powers[id(signal)], *found)
                break
    return list(findings.values())


def _certain(rows: LabelledRows, signal: Signal, activity: Activity, once: Mask) -> tuple[int, float, float] | None:
    """Entities with values that make later rows certain, their share with later rows, and that of the others."""
    at = once & (activity.before == 0)
    for where in (signal.where, activity.where):
        at = at if where is None else at & where
    if at.sum() < 2 * MIN_CERTAIN:
        return None
    active = (activity.after[at] > 0).astype(np.float64)
    bins, fold = signal.bins[at], rows.fold[at]
    certain = np.zeros(len(bins), bool)
    for side in (False, True):
        fit = fold == side
        count = np.bincount(bins[fit], minlength=int(bins.max()) + 1)
        rate = np.bincount(bins[fit], weights=active[fit], minlength=len(count)) / np.maximum(count, 1)
        certain[~fit] = ((rate >= SEEMS_CERTAIN) & (count > 0))[bins[~fit]]
    if certain.sum() < MIN_CERTAIN or (~certain).sum() < MIN_CERTAIN:
        return None
    share, base = float(active[certain].mean()), float(active[~certain].mean())
    return (int(certain.sum()), share, base) if share >= CERTAIN and base <= MAX_BASE else None


def _certain_finding(
    signal: Signal, activity: Activity, power: Power, count: int, share: float, base: float
) -> Finding:
    what = "it has rows" if signal.column is None else "it is filled in"
    return Finding(
        name="changed-after-seed",
        severity="warning",
        table=signal.table,
        column=signal.column,
        count=count,
        message=f"{what} where rows of '{activity.table}' come later: of entities that had none at the seed time, "
        f"{share:.1%} of {count:,} with certain values here got one afterwards, but {base:.1%} of the others; it "
        f"predicts the label by itself ({power})",
        hint=_mend(signal.column),
        evidence={"share": round(share, 4), "share_of_others": round(base, 4), power.measure.lower(): power.value},
    )


def _mend(column: str | None) -> str:
    if column is None:
        return "give the table a time column that says when a row became known, or leave the table out"
    return "set it to ignore, or keep its history in a table with a time column; if it never changes, allow it"


@dataclass(frozen=True, kw_only=True, eq=False)
class _Sample:
    """Sampled rows of a table: ``time`` of the row and bins of columns, of its own and of its untimed children."""

    time: NDArray[np.int64]
    bins: Mapping[Place, Bins]
    fold: Mask


def find_hindsight(
    connection: duckdb.DuckDBPyConnection,
    snapshot: Snapshot,
    schema: Schema,
    task: EntityTask,
    rows: LabelledRows,
    powers: Mapping[Place, Power],
    spans: Mapping[str, Sequence[Span]],
    rng: np.random.Generator,
) -> list[Finding]:
    """Columns of the entity table and its parents that know the time after the seeds better than the time before."""
    findings: dict[Place, Finding] = {}
    gaps = np.diff(np.unique(rows.seed_time))
    longest = int(np.median(gaps)) * MAX_GAPS if len(gaps) else NEVER  # who is active is a matter of such times
    entity = schema[task.entity_table]
    for name in dict.fromkeys([entity.name, *(k.table for k in entity.foreign_keys)]):
        table = schema[name]
        timed = [
            (child, key, target)
            for child in schema
            for key in child.foreign_keys
            if key.table == name and child.time_column is not None and spans.get(child.name)
            if (target := key_columns(schema, snapshot, child, key)) is not None
        ]
        if not timed or snapshot[name].num_rows < 2 * MIN_CLASS:
            continue
        wanted = {p for p, power in powers.items() if is_relevant(power)}
        wanted = {(t, c) for t, c in wanted if t == name or (t in schema and schema[t].time_column is None)}
        if not wanted:
            continue
        number = snapshot[name].num_rows
        at = np.sort(rng.choice(number, min(number, MAX_ENTITIES), replace=False))
        connection.register("sampled_rows", pa.table({"r": at}))
        sample = _read(connection, snapshot, schema, table, wanted, rng)
        for child, key, target in timed:
            for reference in _references(rows):
                span = spans[child.name][0]
                cells = _cells(connection, snapshot, table, child, key, target, span, reference, longest)
                if cells is None:
                    continue
                for place, bins in sample.bins.items():
                    if place in findings:
                        continue
                    found = _hindsight(bins, cells, sample, reference)
                    if found is not None:
                        findings[place] = _hindsight_finding(place, child.name, reference, *found, powers[place])
        connection.unregister("sampled_rows")
    return list(findings.values())


def _references(rows: LabelledRows) -> list[int]:
    """Seed times to look back from: the middle one, and the last one of every split."""
    last = {int(rows.seed_time[mask].max()) for mask in rows.subsets.values() if mask.any()}
    middle = int(np.quantile(np.unique(rows.seed_time), 0.5, method="lower"))
    return sorted({middle, *last})


def _read(
    connection: duckdb.DuckDBPyConnection,
    snapshot: Snapshot,
    schema: Schema,
    table: Table,
    wanted: set[Place],
    rng: np.random.Generator,
) -> _Sample:
    staged = snapshot[table.name]
    named = [c for c in table.features if (table.name, c.name) in wanted]
    columns = [(c, f) for c in named if (f := column_sql(c, staged.columns[c.name])) and f[0] != "instant"]
    parts = [f"{time_sql(table, staged)} AS t", *(f"{sql} AS v{i}" for i, (_, (_, sql)) in enumerate(columns))]
    values = connection.sql(
        f"SELECT {', '.join(parts)} FROM {staged.numbered_relation} "
        "WHERE file_row_number IN (SELECT r FROM sampled_rows) ORDER BY file_row_number"
    ).to_arrow_table()
    time = values.column("t").combine_chunks()
    missing = NEVER if table.time_column is not None else -NEVER
    bins: dict[Place, Bins] = {}
    for i, (column, (kind, _)) in enumerate(columns):
        array = values.column(f"v{i}").combine_chunks()
        if kind == "number":
            bins[table.name, column.name] = bin_numbers(array.to_numpy(zero_copy_only=False).astype(np.float64))
        else:
            bins[table.name, column.name] = bin_codes(dictionary_codes(array))
    for child in schema:
        for key in child.foreign_keys:
            target = key_columns(schema, snapshot, child, key)
            if key.table == table.name and child.time_column is None and target is not None:
                bins |= _read_children(connection, snapshot, table, child, key, target, wanted)
    return _Sample(
        time=time.fill_null(missing).to_numpy(zero_copy_only=False),
        bins=bins,
        fold=folds(np.arange(len(time)), rng),
    )


def _read_children(
    connection: duckdb.DuckDBPyConnection,
    snapshot: Snapshot,
    table: Table,
    child: Table,
    key: ForeignKey,
    target: tuple[str, ...],
    wanted: set[Place],
) -> dict[Place, Bins]:
    """Number of rows, and means of numbers, of an untimed child table."""
    staged = snapshot[child.name]
    values: list[str] = []
    parts: dict[Place, str] = {}
    if (child.name, None) in wanted:
        parts[child.name, None] = "count(r)"
    for column in child.features:
        found = column_sql(column, staged.columns[column.name])
        if (child.name, column.name) in wanted and found is not None and found[0] == "number":
            parts[child.name, column.name] = f"avg(v{len(values)})"
            values.append(found[1])
    if not parts:
        return {}
    means = _per_row(connection, snapshot, table, child, key, target, values, list(parts.values()))
    return {place: bin_numbers(means[:, i]) for i, place in enumerate(parts)}


def _per_row(
    connection: duckdb.DuckDBPyConnection,
    snapshot: Snapshot,
    table: Table,
    child: Table,
    key: ForeignKey,
    target: tuple[str, ...],
    values: Sequence[str],
    aggregates: Sequence[str],
) -> Floats:
    """Aggregates over the child rows of each sampled row of a table.

    They may use ``r``, the child's row number, and ``v0``, ``v1``, ...: the values, SQL over the child's columns.
    """
    on = " AND ".join(f"x.k{i} = p.k{i}" for i in range(len(target)))
    keys = ", ".join(f"{quote(b)} AS k{i}" for i, b in enumerate(target))
    inner = [f"{quote(a)} AS k{i}" for i, a in enumerate(key.columns)]
    inner += [f"{v} AS v{i}" for i, v in enumerate(values)]
    outer = ", ".join(f"CAST({a} AS DOUBLE) AS a{i}" for i, a in enumerate(aggregates))
    result = connection.sql(
        f"SELECT {outer} FROM (SELECT file_row_number AS i, {keys} FROM {snapshot[table.name].numbered_relation} "
        "WHERE file_row_number IN (SELECT r FROM sampled_rows)) p LEFT JOIN (SELECT file_row_number AS r, "
        f"{', '.join(inner)} FROM {snapshot[child.name].numbered_relation}) x ON {on} GROUP BY p.i ORDER BY p.i"
    ).to_arrow_table()
    return np.stack([c.to_numpy() for c in result.columns], axis=1)


def _cells(
    connection: duckdb.DuckDBPyConnection,
    snapshot: Snapshot,
    table: Table,
    child: Table,
    key: ForeignKey,
    target: tuple[str, ...],
    span: Span,
    reference: int,
    longest: int,
) -> tuple[Floats, int] | None:
    """Rows of a timed child per sampled row and window: `WINDOWS` up to the reference time and one after it."""
    width = min((reference - span.low) // WINDOWS, span.end - reference, longest)
    if width <= 0:
        return None
    time = time_sql(child, snapshot[child.name])
    edges = [reference + (j - WINDOWS) * width for j in range(WINDOWS + 2)]
    counts = [f"count(*) FILTER (v0 > {a} AND v0 <= {b})" for a, b in pairwise(edges)]
    return _per_row(connection, snapshot, table, child, key, target, [time], counts), width


def _hindsight(
    bins: Bins, cells: tuple[Floats, int], sample: _Sample, reference: int
) -> tuple[float, float, int] | None:
    """AUC after the reference time, the best one before it, and the entities judged; None if there is no hindsight."""
    counts, width = cells
    # One question for all windows: any row, or if nearly all have some, more than usual.
    active = counts[:, LOOKBACK:][counts[:, LOOKBACK - 1 : -1] > 0]
    threshold = float(np.median(active)) if len(active) and (active > 0).mean() > MANY else 0.0
    before: list[tuple[float, float]] = []
    after: tuple[float, float] | None = None
    num = 0
    for j in range(LOOKBACK, WINDOWS + 1):
        start = reference + (j - WINDOWS) * width
        at = (counts[:, j - LOOKBACK : j].sum(axis=1) > 0) & (sample.time <= start)
        judged = _judge(bins[at], counts[at, j] > threshold, sample.fold[at])
        if j == WINDOWS:
            after, num = judged, int(at.sum())
        elif judged is not None:
            before.append(judged)
    if after is None or len(before) < MIN_WINDOWS:
        return None
    best = max(before)
    gap = after[0] - max(best[0], 0.5)
    return (after[0], best[0], num) if gap >= GAP and gap / math.hypot(after[1], best[1]) >= GAP_ERRORS else None


def _judge(bins: Bins, yes: Mask, fold: Mask) -> tuple[float, float] | None:
    """AUC, and its standard error, of a column for being active in a window."""
    if min(int(yes.sum()), int((~yes).sum())) < 2 * MIN_CLASS:
        return None
    predicted = cross_fitted(bins, yes.astype(np.float64), fold)
    areas = [auc(predicted[fold == side], yes[fold == side]) for side in (False, True)]
    if not all(map(math.isfinite, areas)):
        return None
    return float(np.mean(areas)), auc_error(int(yes.sum()), int((~yes).sum()))


def _hindsight_finding(
    place: Place, child: str, reference: int, after: float, before: float, num: int, power: Power
) -> Finding:
    table, column = place
    what = "the number of rows tells" if column is None else "it tells"
    return Finding(
        name="changed-after-seed",
        severity="warning",
        table=table,
        column=column,
        count=num,
        message=f"{what} who has rows in '{child}' after {day(reference)} (AUC {after:.3f} on {num:,} entities) better "
        f"than who had any in a window as long before that (AUC at most {before:.3f}); it predicts the label by itself "
        f"({power})",
        hint=_mend(column),
        evidence={"auc_after": round(after, 4), "auc_before": round(before, 4), "reference": reference},
    )
