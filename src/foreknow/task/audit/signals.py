"""What a model sees at the seed time, column by column: the entity's row, its parents, aggregates of its children.

Nothing later than the seed time goes in, as in sampling: rows of timed tables are seen up to it, the entity's own row
too (but for columns known ahead), and instants in tables without time are hidden if they lie after it. Only the number
of an entity's *later* child rows is counted as well, for the audit to compare with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foreknow.schema.storage import storage_kind
from foreknow.schema.table import Column, ForeignKey, Schema, Table
from foreknow.source.keys import is_compatible, match_rows
from foreknow.source.snapshot import Snapshot, StagedTable
from foreknow.source.sql import fetch_one, quote
from foreknow.source.time import is_instant, seconds_sql
from foreknow.task.audit.power import Bins, Floats, Mask, bin_codes, bin_numbers
from foreknow.task.audit.rows import LabelledRows
from foreknow.task.task import EntityTask
from foreknow.types import DAY_S, NEVER, NO_ROW, Stype

__all__ = [
    "Activity",
    "Signal",
    "Signals",
    "column_sql",
    "dictionary_codes",
    "gather_signals",
    "key_columns",
    "time_sql",
]

DEPTH = 2
"""How many links up from the entity parents are followed."""

MAX_PAIRS = 4_000_000
"""Pairs of a labelled row and a child row that are aggregated; with more, some labelled rows are left out."""

TEXT_CHARACTERS = 200


@dataclass(frozen=True, kw_only=True, eq=False)
class Signal:
    """One column as seen from each labelled row, ``(N,)``: ``numbers`` (NaN missing) or ``codes`` (-1 missing).

    ``column`` is None if the signal is how many rows there are. ``how`` says in words how the entity gets it.
    ``hidden``: an instant later than the seed time. ``where``: the rows it was computed for, None for all.
    """

    table: str
    column: str | None
    how: str
    numbers: Floats | None = None
    codes: NDArray[np.int64] | None = None
    hidden: Mask | None = None
    where: Mask | None = None

    @cached_property
    def bins(self) -> Bins:
        """Bins of the values."""
        if self.numbers is not None:
            return bin_numbers(self.numbers)
        assert self.codes is not None
        return bin_codes(self.codes)


@dataclass(frozen=True, kw_only=True, eq=False)
class Activity:
    """Rows of a timed child table per labelled row, ``(N,)``: up to the seed time, and after it."""

    table: str
    before: NDArray[np.int64]
    after: NDArray[np.int64]
    where: Mask | None = None


@dataclass(frozen=True, kw_only=True)
class Signals:
    """All signals of the labelled rows. ``own``: of the entity's row and its parents; ``children``: aggregates."""

    own: tuple[Signal, ...]
    children: tuple[Signal, ...]
    activity: tuple[Activity, ...]


def time_sql(table: Table, staged: StagedTable) -> str:
    """SQL of a row's time in Unix seconds, NULL if it never is visible; 'NULL' if the table has no time column."""
    if table.time_column is None or not is_instant(staged.columns[table.time_column]):
        return "NULL::BIGINT"
    return seconds_sql(quote(table.time_column), staged.columns[table.time_column])


def key_columns(schema: Schema, snapshot: Snapshot, table: Table, key: ForeignKey) -> tuple[str, ...] | None:
    """The columns a foreign key points to; None if the types don't match, which another check tells."""
    target = schema.key_of(key)
    staged, parent = snapshot[table.name], snapshot[key.table]
    pairs = zip(key.columns, target, strict=True)
    return target if all(is_compatible(staged.columns[a], parent.columns[b]) for a, b in pairs) else None


def column_sql(column: Column, dtype: str) -> tuple[str, str] | None:
    """``number``, ``instant`` or ``code``, and the SQL of the value; None for what is no single value."""
    c, kind = quote(column.name), storage_kind(dtype)
    if column.stype is Stype.TIMESTAMP:
        return ("instant", seconds_sql(c, dtype)) if is_instant(dtype) else None
    if column.stype is Stype.NUMERICAL and kind in ("integer", "float", "text", "boolean"):
        return "number", f"TRY_CAST({c} AS DOUBLE)"
    if column.stype is Stype.EMBEDDING or kind == "other":
        return None
    value = f"list_sort({c})" if kind == "list" else c
    return "code", f"left(CAST({value} AS VARCHAR), {TEXT_CHARACTERS})"


def gather_signals(
    connection: duckdb.DuckDBPyConnection,
    snapshot: Snapshot,
    schema: Schema,
    task: EntityTask,
    rows: LabelledRows,
    rng: np.random.Generator,
) -> Signals:
    """Read what the labelled rows see, each table once."""
    cut = rows.seed_time if task.inclusive else rows.seed_time - 1
    if task.context_until is not None:
        cut = np.minimum(cut, task.context_until)
    gather = _Gather(connection, snapshot, schema, task, rows, cut, rng)
    own = gather.upwards()
    children, activity = gather.downwards()
    return Signals(own=tuple(own), children=tuple(children), activity=tuple(activity))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Place:
    """A row per labelled row in some table, `NO_ROW` if there is none; ``known``: columns seen of unseen rows."""

    table: str
    row: NDArray[np.int64]
    how: str
    depth: int
    known: frozenset[str] = frozenset()


class _Gather:
    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        snapshot: Snapshot,
        schema: Schema,
        task: EntityTask,
        rows: LabelledRows,
        cut: NDArray[np.int64],
        rng: np.random.Generator,
    ) -> None:
        self.connection, self.snapshot, self.schema, self.task = connection, snapshot, schema, task
        self.rows, self.cut, self.rng = rows, cut, rng

    def upwards(self) -> list[Signal]:
        entity = _Place(
            table=self.task.entity_table,
            row=self.rows.entity_row.astype(np.int64),
            how="",
            depth=0,
            known=frozenset(self.task.known),
        )
        signals, todo = [], [entity]
        for place in todo:
            values, seen = self._read(place)
            table = self.schema[place.table]
            for column in (*table.features, *([table[table.time_column]] if table.time_column else [])):
                if _alias(table, column) in values.column_names:
                    visible = seen | (place.row != NO_ROW) if column.name in place.known else seen
                    signals.append(self._signal(table, column, values, visible, place.how))
            if place.depth < DEPTH:
                todo += self._parents(place, seen)
        return signals

    def downwards(self) -> tuple[list[Signal], list[Activity]]:
        signals: list[Signal] = []
        activity: list[Activity] = []
        for table in self.schema:
            for key in table.foreign_keys:
                if key.table != self.task.entity_table or not self.snapshot[table.name].num_rows:
                    continue
                target = key_columns(self.schema, self.snapshot, table, key)
                if target is not None:
                    found, counts = self._children(table, key, target)
                    signals += found
                    activity += counts
        return signals, activity

    def _read(self, place: _Place) -> tuple[pa.Table, Mask]:
        """Values of the place's rows, a row per labelled row, and whether the row is visible."""
        table, staged = self.schema[place.table], self.snapshot[place.table]
        parts = [f"{time_sql(table, staged)} AS t"]
        for column in table.columns:
            found = column_sql(column, staged.columns[column.name])
            if found is not None and (column.stype.is_feature or column.name == table.time_column):
                parts.append(f"{found[1]} AS {_alias(table, column)}")
        values = self._fetch(staged, place.row, parts)
        if table.time_column is None:
            return values, place.row != NO_ROW
        time = values.column("t").combine_chunks().fill_null(NEVER).to_numpy(zero_copy_only=False)
        return values, (place.row != NO_ROW) & (time <= self.cut)

    def _fetch(self, staged: StagedTable, row: NDArray[np.int64], parts: Sequence[str]) -> pa.Table:
        """SQL expressions over some rows of a table by their number; NULL for `NO_ROW`."""
        distinct = np.unique(row[row != NO_ROW])
        self.connection.register("wanted_rows", pa.table({"wanted_row": distinct}))
        values = self.connection.sql(
            f"SELECT {', '.join(parts)} FROM {staged.numbered_relation} "
            "WHERE file_row_number IN (SELECT wanted_row FROM wanted_rows) ORDER BY file_row_number"
        ).to_arrow_table()
        self.connection.unregister("wanted_rows")
        index = np.searchsorted(distinct, row)
        return values.take(pa.array(np.where(row == NO_ROW, 0, index), pa.int64(), mask=row == NO_ROW))

    def _signal(self, table: Table, column: Column, values: pa.Table, visible: Mask, how: str) -> Signal:
        found = column_sql(column, self.snapshot[table.name].columns[column.name])
        assert found is not None
        array = values.column(_alias(table, column)).combine_chunks()
        if found[0] == "code":
            codes = dictionary_codes(array)
            return Signal(table=table.name, column=column.name, how=how, codes=np.where(visible, codes, -1))
        numbers = array.cast(pa.float64()).to_numpy(zero_copy_only=False)
        numbers = np.where(visible, numbers, np.nan)
        if found[0] == "number":
            return Signal(table=table.name, column=column.name, how=how, numbers=numbers)
        return self._instant(table, column.name, numbers, how)

    def _instant(self, table: Table, column: str, seconds: Floats, how: str, where: Mask | None = None) -> Signal:
        """An instant as days before the seed time; hidden after it if the table has no time."""
        if not self.rows.has_time:
            return Signal(table=table.name, column=column, how=how, numbers=seconds, where=where)
        days = (self.rows.seed_time - seconds) / DAY_S
        hidden = days < 0
        if table.time_column is None:
            days = np.where(hidden, np.nan, days)
        return Signal(table=table.name, column=column, how=how, numbers=days, hidden=hidden, where=where)

    def _parents(self, place: _Place, seen: Mask) -> list[_Place]:
        table, staged = self.schema[place.table], self.snapshot[place.table]
        found = []
        for key in table.foreign_keys:
            target = key_columns(self.schema, self.snapshot, table, key)
            if target is None:
                continue
            values = self._fetch(staged, place.row, [f"{quote(c)} AS k{i}" for i, c in enumerate(key.columns)])
            numbered = values.append_column("file_row_number", pa.array(np.arange(len(place.row))))
            self.connection.register("child_keys", numbered)
            names = [f"k{i}" for i in range(len(key.columns))]
            match = match_rows(
                self.connection, "child_keys", len(place.row), names, self.snapshot[key.table], target, num_examples=0
            )
            self.connection.unregister("child_keys")
            is_known = place.known >= set(key.columns)
            row = np.where(seen | is_known, match.row.astype(np.int64), NO_ROW)
            found.append(
                _Place(table=key.table, row=row, how=f"through {table.name}.{key.name}", depth=place.depth + 1)
            )
        return found

    def _children(self, table: Table, key: ForeignKey, target: tuple[str, ...]) -> tuple[list[Signal], list[Activity]]:
        staged = self.snapshot[table.name]
        is_timed = table.time_column is not None
        columns = [(c, f) for c in table.features if (f := column_sql(c, staged.columns[c.name])) is not None]
        where = self._pair_up(table, key, target)
        seen = "c.t <= e.cut" if is_timed else "true"
        aggregates = [
            f"count(*) FILTER ({seen}) AS seen_rows",
            "count(*) FILTER (c.t > e.seed) AS later_rows",
            f"(max((coalesce(c.t, 0) + {1 << 40})::HUGEINT * {1 << 32} + c.r) FILTER ({seen}) % {1 << 32})::BIGINT "
            "AS last_row",
        ]
        for i, (_, (kind, _)) in enumerate(columns):
            if kind == "number":
                aggregates += [f"{f}(c.v{i}) FILTER ({seen}) AS {f}_{i}" for f in ("avg", "min", "max")]
            elif kind == "instant":
                hidden = "" if is_timed or not self.rows.has_time else f" AND c.v{i} <= e.seed"
                aggregates += [f"max(c.v{i}) FILTER ({seen}{hidden}) AS max_{i}"]
        values = [f"{sql} AS v{i}" for i, (_, (kind, sql)) in enumerate(columns) if kind != "code"]
        keys = [f"k{i}" for i in range(len(key.columns))]
        linked = [f"{quote(c)} AS {k}" for c, k in zip(key.columns, keys, strict=True)]
        child = ["file_row_number AS r", f"{time_sql(table, staged)} AS t", *linked, *values]
        result = self.connection.sql(
            f"SELECT e.i, {', '.join(aggregates)} FROM seeds e "
            f"JOIN (SELECT {', '.join(child)} FROM {staged.numbered_relation}) c "
            f"ON {_equal_keys('e', 'c', keys)} GROUP BY e.i"
        ).to_arrow_table()
        self.connection.execute("DROP TABLE seeds")
        how = f"over its rows by {key.name}"
        return self._aggregated(table, columns, result, how, where)

    def _pair_up(self, table: Table, key: ForeignKey, target: tuple[str, ...]) -> Mask | None:
        """Make the temporary table ``seeds``; leave out labelled rows if there were too many pairs."""
        entity = self.snapshot[self.task.entity_table]
        keys = [f"k{i}" for i in range(len(target))]
        n = len(self.rows)
        given = self._fetch(
            entity,
            self.rows.entity_row.astype(np.int64),
            [f"{quote(c)} AS {k}" for c, k in zip(target, keys, strict=True)],
        )
        for name, values in (("i", np.arange(n)), ("cut", self.cut), ("seed", self.rows.seed_time)):
            given = given.append_column(name, pa.array(values))
        self.connection.register("given_seeds", given)
        linked = ", ".join(f"{quote(c)} AS {k}" for c, k in zip(key.columns, keys, strict=True))
        (pairs,) = fetch_one(
            self.connection,
            f"SELECT coalesce(sum(a.n * b.n), 0)::DOUBLE FROM (SELECT {', '.join(keys)}, count(*) AS n "
            f"FROM given_seeds GROUP BY ALL) a JOIN (SELECT {linked}, count(*) AS n "
            f"FROM {self.snapshot[table.name].relation} GROUP BY ALL) b ON {_equal_keys('a', 'b', keys)}",
        )
        where = None
        if pairs > MAX_PAIRS:
            where = self.rng.random(n) < MAX_PAIRS / pairs
            self.connection.unregister("given_seeds")
            self.connection.register("given_seeds", given.filter(pa.array(where)))
        self.connection.execute("CREATE TEMP TABLE seeds AS FROM given_seeds")
        self.connection.unregister("given_seeds")
        return where

    def _aggregated(
        self, table: Table, columns: Sequence[tuple[Column, tuple[str, str]]], result: pa.Table, how: str, where: Any
    ) -> tuple[list[Signal], list[Activity]]:
        n = len(self.rows)
        at = result.column("i").to_numpy()

        def spread(name: str, missing: float) -> Floats:
            out = np.full(n, missing)
            out[at] = result.column(name).cast(pa.float64()).fill_null(missing).to_numpy()
            return out

        count, later = spread("seen_rows", 0), spread("later_rows", 0)
        last = np.full(n, NO_ROW, np.int64)
        found = result.column("last_row").combine_chunks()
        known = found.is_valid().to_numpy(zero_copy_only=False)
        last[at[known]] = found.drop_null().to_numpy(zero_copy_only=False)
        signals = [Signal(table=table.name, column=None, how=f"number {how}", numbers=count, where=where)]
        staged = self.snapshot[table.name]
        values = self._fetch(staged, last, [f"{sql} AS {_alias(table, c)}" for c, (_, sql) in columns] or ["1 AS one"])
        for i, (column, (kind, _)) in enumerate(columns):
            which = "last" if table.time_column is not None else "of the last"
            signal = self._signal(table, column, values, last != NO_ROW, f"{which} {how}")
            signals.append(replace(signal, where=where))
            if kind == "number":
                for function, word in (("avg", "mean"), ("min", "least"), ("max", "largest")):
                    numbers = spread(f"{function}_{i}", np.nan)
                    signals.append(
                        Signal(table=table.name, column=column.name, how=f"{word} {how}", numbers=numbers, where=where)
                    )
            elif kind == "instant":
                seconds = spread(f"max_{i}", np.nan)
                signals.append(self._instant(table, column.name, seconds, f"latest {how}", where))
        if table.time_column is None:
            return signals, []
        activity = Activity(table=table.name, before=count.astype(np.int64), after=later.astype(np.int64), where=where)
        return signals, [activity]


def _alias(table: Table, column: Column) -> str:
    """A name for a column in SQL that no other has, whatever columns are called."""
    return f"c{table.column_names.index(column.name)}"


def _equal_keys(a: str, b: str, keys: Sequence[str]) -> str:
    return " AND ".join(f"{a}.{k} = {b}.{k}" for k in keys)


def dictionary_codes(array: pa.Array) -> NDArray[np.int64]:
    """Values as codes in the order of their text, -1 for missing: the same whatever the order of rows."""
    encoded = array.dictionary_encode()
    names = encoded.dictionary.to_pylist()
    rank = np.empty(max(len(names), 1), np.int64)
    rank[np.argsort(np.array(names, dtype=object), kind="stable")] = np.arange(len(names)) if names else 0
    index = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return np.where(index < 0, -1, rank[np.maximum(index, 0)])
