"""Values: what is aggregated over the rows of a history. One number per row, fixed the moment the row is known.

A value never depends on when it is looked at, which is what lets sums over it be shared by all seeds: a parent's
column counts only if the parent was known by then, a comparison with siblings takes those known by then.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from foreknow.errors import SamplingError
from foreknow.graph.columns import MISSING_TIME
from foreknow.graph.store import GraphStore
from foreknow.sample.aggregates.history import History, build_history
from foreknow.sample.aggregates.kernel import first_seen, previous_gap, sibling_means
from foreknow.types import DAY_S

__all__ = ["Value", "ValueKind", "ValueReader"]

ValueKind = Literal["rows", "number", "share", "instant", "new", "gap", "relative", "siblings"]


@dataclass(frozen=True, kw_only=True)
class Value:
    """A value of the rows of a table.

    ==========  =====================================================================================
    rows        1: counts and times of rows
    number      a numerical column
    share       1 if a categorical column holds ``category``, else 0
    instant     days from the row's own time to an instant it holds
    new         1 if the group sees the parent along ``edge`` (or the category in ``column``) for the first time
    gap         days since the group's previous time
    relative    a numerical column minus its mean over the other rows of the same parent along ``edge``
    siblings    how many other rows the parent along ``edge`` has
    ==========  =====================================================================================

    ``ups`` are foreign keys to follow upwards first: the column is then the parent's.
    """

    kind: ValueKind = "rows"
    ups: tuple[int, ...] = ()
    column: str = ""
    category: str = ""
    edge: int = -1

    def to_dict(self) -> dict[str, Any]:
        """Plain values; the inverse of `from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Value:
        """Rebuild from `to_dict`."""
        return cls(**{**value, "ups": tuple(value["ups"])})


class ValueReader:
    """Reads values for the rows of histories over one store."""

    def __init__(self, store: GraphStore) -> None:
        self._store = store
        self._codes: dict[tuple[str, str], dict[str, int]] = {}

    def read(self, value: Value, table: str, history: History) -> np.ndarray:
        """One value per row of the history, in its order; NaN if missing. Shape ``(M,)``.

        Args:
            value: What to read.
            table: Whose rows the history holds.
            history: The rows.
        """
        n = len(history.rows)
        if value.kind == "rows":
            return np.ones(n, np.float32)
        if value.kind == "gap":
            out = np.full(n, np.nan, np.float32)
            if history.time is not None:
                previous_gap(history.pointer, history.time, out)
            out /= np.float32(DAY_S)
            return out
        if value.kind == "new":
            return self._new(value, table, history)
        if value.kind in ("relative", "siblings"):
            by_row = self._relative(value, table)
            return by_row.take(history.rows)
        rows = history.rows.astype(np.int64)
        for e in value.ups:
            rows = self._up(rows, e, history.time)
        if value.ups:
            table = self._store.edge_types[value.ups[-1]].target
        there = rows >= 0
        columns, at = self._store[table].columns, np.maximum(rows, 0)
        if not self._store[table].num_rows:
            return np.full(n, np.nan, np.float32)
        if value.kind == "number":
            numbers = columns.numbers[:, columns.number_names.index(value.column)]
            return np.where(there, numbers[at], np.float32(np.nan))
        if value.kind == "share":
            code = self._code(table, value.column, value.category)
            return np.where(there, (columns.codes[value.column][at] == code).astype(np.float32), np.float32(np.nan))
        if value.kind == "instant":
            if history.time is None:
                raise SamplingError(f"instants of '{table}' can't be aggregated: its rows have no time")
            instant = columns.instants[:, columns.instant_names.index(value.column)][at]
            days = (instant - history.time) / DAY_S
            return np.where(there & (instant != MISSING_TIME), days, np.nan).astype(np.float32)
        raise SamplingError(f"there is no value of kind '{value.kind}'")

    def _up(self, rows: np.ndarray, e: int, time: np.ndarray | None) -> np.ndarray:
        """Parents known when the history's rows were."""
        parents = np.asarray(self._store.parents[e])
        if not len(parents):
            return np.full(len(rows), -1)
        up = np.where(rows >= 0, parents[np.maximum(rows, 0)].astype(np.int64), -1)
        above = self._store[self._store.edge_types[e].target].time
        if above is None or not len(above):
            return up
        if time is None:  # always seen, yet from when on its parent is known differs
            return np.full(len(rows), -1)
        return np.where(above[np.maximum(up, 0)] > time, -1, up)

    def _new(self, value: Value, table: str, history: History) -> np.ndarray:
        store = self._store
        if value.edge >= 0:
            key = self._up(history.rows.astype(np.int64), value.edge, history.time)
            size = store[store.edge_types[value.edge].target].num_rows
        else:
            columns = store[table].columns
            key = columns.codes[value.column][history.rows].astype(np.int64) - 1
            size = len(columns.dictionary(value.column))
        out = np.empty(len(history.rows), np.float32)
        first_seen(history.pointer, key, size, out)
        return out

    def _relative(self, value: Value, table: str) -> np.ndarray:
        """By row id; rows without a parent (or with one not known yet) have none."""
        store, raw = self._store, self._store[table]
        n = raw.num_rows
        mean, number = np.full(n, np.nan), np.full(n, np.nan)
        siblings = build_history(store, (value.edge,))
        if value.kind == "relative":
            own = np.asarray(raw.columns.numbers[:, raw.columns.number_names.index(value.column)])
        else:
            own = np.zeros(n, np.float32)
        time = np.empty(0, np.int64) if siblings.time is None else siblings.time
        sibling_means(siblings.pointer, siblings.rows, time, own, mean, number)
        out = own - mean if value.kind == "relative" else number
        unknown = self._up(np.arange(n), value.edge, None if raw.time is None else np.asarray(raw.time)) < 0
        return np.where(unknown, np.nan, out).astype(np.float32)

    def _code(self, table: str, column: str, category: str) -> int:
        """Code of a category in the store; one no row has if the store doesn't know it."""
        at = (table, column)
        if at not in self._codes:
            dictionary = self._store[table].columns.dictionary(column).to_pylist()
            self._codes[at] = {v: i + 1 for i, v in enumerate(dictionary)}
        return self._codes[at].get(category, -1)
