"""Relational aggregates: what the past of each seed adds up to, as one vector of numbers with names.

An `AggregatePlan` says what to compute; `Aggregator` computes it over a store. It follows the rules of the sampler:
rows later than the seed time (or the end of the context) are not seen, nor are those whose time is missing; an entity
row later than its seed time shows its ``known`` columns only. A seed's vector depends on nothing but its past: not on
the other seeds asked about with it, and not by one bit on later rows.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from foreknow.graph.columns import MISSING_TIME
from foreknow.graph.encode import Encoding
from foreknow.graph.store import GraphStore
from foreknow.sample.aggregates import kernel
from foreknow.sample.aggregates.anchor import Anchor, Visibility, Walker, anchor_table
from foreknow.sample.aggregates.feature import LAST_ROWS, AggregatePlan, Feature, KeyPart, Stat
from foreknow.sample.aggregates.history import History, Spans, group_rows
from foreknow.sample.aggregates.label import LabelHistory, key_groups
from foreknow.sample.aggregates.value import Value, ValueReader
from foreknow.sample.seeds import Seeds
from foreknow.types import DAY_S, NEVER

__all__ = ["Aggregator"]

_CODES = {
    "rows": kernel.ROWS,
    "mean": kernel.MEAN,
    "sum": kernel.SUM,
    "std": kernel.STD,
    "min": kernel.MIN,
    "max": kernel.MAX,
    "last": kernel.LAST,
    "ewm": kernel.EWM,
    "change": kernel.CHANGE,
}
_TIMES = ("since_last", "since_first", "overdue")
_EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday

MAX_CATEGORIES = 30

Columns = list[tuple[int, Feature]]


class Aggregator:
    """Computes a plan's features.

    Args:
        store: The graph; perhaps of newer rows than the plan was made for.
        plan: What to compute.
        encoding: Fitted on the past: which categories are told apart.
        see: What seeds see.
        labels: Labels that may have become known; without them label features are missing.
        num_threads: Threads; the numbers are the same.
    """

    def __init__(
        self,
        store: GraphStore,
        plan: AggregatePlan,
        encoding: Encoding,
        *,
        see: Visibility,
        labels: LabelHistory | None = None,
        num_threads: int | None = None,
    ) -> None:
        self.store, self.plan, self.encoding, self.see, self.labels = store, plan, encoding, see, labels
        self.num_threads = num_threads or min(4, os.cpu_count() or 1)
        self._reader = ValueReader(store)
        self._histories: dict[tuple[int, ...], History] = {}
        self._lookups: dict[tuple[str, str], np.ndarray] = {}

    def with_plan(self, plan: AggregatePlan) -> Aggregator:
        """The same over another plan, sharing what was worked out about the store."""
        other = Aggregator(
            self.store, plan, self.encoding, see=self.see, labels=self.labels, num_threads=self.num_threads
        )
        other._reader, other._histories, other._lookups = self._reader, self._histories, self._lookups
        return other

    @property
    def is_category(self) -> list[bool]:
        """Which columns hold numbers of categories (see `compute`) rather than amounts.

        Those of long vocabularies count as amounts, how frequent a category is: told apart one by one they would be
        learnt by heart, and past labels of the same category say it better.
        """
        return [f.family == "attribute" and 0 < self._num_categories(f) <= MAX_CATEGORIES for f in self.plan.features]

    def compute(self, seeds: Seeds) -> np.ndarray:
        """The features of some seeds.

        A category is 1 if it is rare or unknown, 2 and more by falling frequency.

        Returns:
            Shape ``(B, F)``, float32; NaN where something is missing.
        """
        out = np.full((len(self.plan), len(seeds)), np.nan, np.float32)  # by feature: threads write rows of their own
        walker = Walker(self.store, self.plan.entity_table, seeds, self.see, self._histories)
        histories: dict[tuple[Anchor, tuple[int, ...]], Columns] = defaultdict(list)
        labels: dict[tuple[KeyPart, ...], Columns] = defaultdict(list)
        for i, f in enumerate(self.plan.features):
            if f.family == "clock":
                out[i] = _clock(f.column, seeds.time)
            elif f.family == "attribute":
                out[i] = self._attribute(f, walker)
            elif f.family == "history":
                histories[f.anchor, f.chain].append((i, f))
            else:
                labels[f.keys].append((i, f))
        windows = [self.see.until(seeds.time - w) for w in self.plan.windows_s]
        with ThreadPoolExecutor(self.num_threads, thread_name_prefix="aggregates") as pool:
            for (anchor, chain), columns in histories.items():
                history = walker.history(chain)
                spans = history.spans(walker.rows(anchor), walker.known, windows, LAST_ROWS)
                self._aggregate(pool, history, spans, seeds, chain, columns, out)
            if self.labels is not None and labels:
                past = Walker(self.store, self.plan.entity_table, self.labels.seeds, self.see, self._histories)
                for keys, columns in labels.items():
                    self._label_features(pool, keys, past, walker, windows, columns, out)
        return np.ascontiguousarray(out.T)

    def _aggregate(
        self,
        pool: ThreadPoolExecutor,
        history: History,
        spans: Spans,
        seeds: Seeds,
        chain: tuple[int, ...],
        columns: Columns,
        out: np.ndarray,
    ) -> None:
        """Features of one history: each value is read once, all its statistics are taken in one pass."""
        table = self.store.edge_types[chain[-1]].source
        by_value: dict[Value, Columns] = defaultdict(list)
        for i, f in columns:
            assert f.value is not None
            by_value[f.value].append((i, f))

        def run(value: Value, wanted: Columns) -> None:
            counted = [(i, f) for i, f in wanted if f.stat is not None and f.stat.kind in _CODES]
            if counted:
                values = self._reader.read(value, table, history)
                _reduce(values, spans, [(i, f.stat) for i, f in counted if f.stat is not None], out)
            for i, f in wanted:
                if f.stat is not None and f.stat.kind in _TIMES:
                    out[i] = _time_feature(f.stat, history, spans, seeds.time)

        for future in [pool.submit(run, v, wanted) for v, wanted in by_value.items()]:
            future.result()

    def _label_features(
        self,
        pool: ThreadPoolExecutor,
        keys: tuple[KeyPart, ...],
        past: Walker,
        asked: Walker,
        windows: Sequence[np.ndarray],
        columns: Columns,
        out: np.ndarray,
    ) -> None:
        assert self.labels is not None
        group, anchor, num_groups = key_groups(keys, past, asked, self.store)
        time = self.labels.seeds.time
        known_from = np.where(time > NEVER - self.plan.horizon_s, NEVER, time + self.plan.horizon_s)
        history = group_rows(group, known_from, num_groups)
        spans = history.spans(anchor, asked.known, windows, LAST_ROWS)
        by_label: dict[int, Columns] = defaultdict(list)
        for i, f in columns:
            by_label[f.label].append((i, f))

        def run(label: int, wanted: Columns) -> None:
            values = self.labels.values[history.rows, label] if self.labels is not None else np.empty(0, np.float32)
            counted = [(i, f.stat) for i, f in wanted if f.stat is not None and f.stat.kind in _CODES]
            _reduce(np.ascontiguousarray(values), spans, counted, out)
            for i, f in wanted:
                if f.stat is not None and f.stat.kind in _TIMES:
                    out[i] = _time_feature(f.stat, history, spans, asked.seeds.time)

        for future in [pool.submit(run, label, wanted) for label, wanted in by_label.items()]:
            future.result()

    def _attribute(self, f: Feature, walker: Walker) -> np.ndarray:
        rows = walker.rows(f.anchor)
        name = anchor_table(self.store, self.plan.entity_table, f.anchor)
        table, at = self.store[name], np.maximum(rows, 0)
        if not table.num_rows:
            return np.full(len(rows), np.nan)
        missing = rows < 0
        if not f.anchor and f.column not in self.see.known:
            missing = missing | walker.unseen
        c = table.columns
        if not f.column:  # the row's age
            assert table.time is not None
            time = np.asarray(table.time)[at]
            missing = missing | (time == NEVER)
            found = (walker.seeds.time - np.where(missing, 0, time)) / DAY_S
        elif f.column in c.number_names:
            found = c.numbers[:, c.number_names.index(f.column)][at].astype(np.float64)
        elif f.column in c.instant_names:
            instant = c.instants[:, c.instant_names.index(f.column)][at]
            missing = missing | (instant == MISSING_TIME)
            if table.time is None:  # nobody knew it yet
                missing = missing | (instant > walker.known)
            found = (walker.seeds.time - np.where(missing, 0, instant)) / DAY_S
        else:
            code = self._lookup(name, f.column)[c.codes[f.column][at]]
            missing = missing | (code == 0)
            found = code.astype(np.float64)
        return np.where(missing, np.nan, found)

    def _num_categories(self, f: Feature) -> int:
        table = anchor_table(self.store, self.plan.entity_table, f.anchor)
        return len(self.encoding.tables[table].categories.get(f.column, ()))

    def _lookup(self, table: str, column: str) -> np.ndarray:
        """From the store's codes to numbers of categories: 0 missing, 1 unknown or rare."""
        if (table, column) not in self._lookups:
            number = {v: i + 2 for i, v in enumerate(self.encoding.tables[table].categories[column])}
            dictionary = self.store[table].columns.dictionary(column).to_pylist()
            self._lookups[table, column] = np.array([0, *(number.get(v, 1) for v in dictionary)], np.int32)
        return self._lookups[table, column]


def _reduce(values: np.ndarray, spans: Spans, wanted: Sequence[tuple[int, Stat]], out: np.ndarray) -> None:
    """Take statistics of values into rows of ``out``."""
    if not wanted:
        return
    recipes = np.array([(_CODES[s.kind], s.range, s.other) for _, s in wanted], np.int64)
    found = np.empty((len(spans.start), len(recipes)), np.float32)
    kernel.aggregate(values, spans.order, spans.start, spans.stop, spans.low, recipes, found)
    for j, (i, _) in enumerate(wanted):
        out[i] = found[:, j]


def _time_feature(stat: Stat, history: History, spans: Spans, seed_time: np.ndarray) -> np.ndarray:
    """Days since the first or last row; or since the last one, in mean gaps."""
    if history.time is None or not len(history.rows):
        return np.full(len(seed_time), np.nan)
    has = spans.any_row
    first = history.time[np.where(has, spans.start, 0)]
    last = history.time[np.where(has, spans.stop - 1, 0)]
    if stat.kind == "since_first":
        return np.where(has, (seed_time - first) / DAY_S, np.nan)
    since = np.where(has, (seed_time - last) / DAY_S, np.nan)
    if stat.kind == "since_last":
        return since
    gap = (last - first) / DAY_S / np.maximum(spans.stop - spans.start - 1, 1)
    return np.where(gap > 0, since / np.where(gap > 0, gap, 1), np.nan)


def _clock(name: str, time: np.ndarray) -> np.ndarray:
    if name == "month":
        return time.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64) % 12 + 1
    if name == "weekday":
        return (time // DAY_S + _EPOCH_WEEKDAY) % 7
    return time % DAY_S / 3600
