"""Candidates: which aggregates could matter for a task, read off the schema. Bounded; selection is by training rows.

In two rounds, so that the number stays small on databases of many tables: `core_plan` looks at every value along every
path with few statistics; after the values that matter are known, `full_plan` adds the other statistics for those.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from foreknow.graph.encode import Encoding
from foreknow.graph.store import GraphStore
from foreknow.sample.aggregates.anchor import Anchor, Visibility, anchor_table
from foreknow.sample.aggregates.feature import LAST_ROWS, AggregatePlan, Feature, KeyPart, Stat
from foreknow.sample.aggregates.value import Value
from foreknow.types import DAY_S

__all__ = ["Limits", "core_plan", "fit_windows", "full_plan"]

HALF_YEAR_S = 182 * DAY_S


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How far and how broad candidates reach."""

    depth: int = 3  # foreign keys walked from the entity to a value
    values: int = 700  # values aggregated, over all paths, nearest first
    shares: int = 5  # categories of a column whose share is taken
    categories: int = 60  # longest vocabulary of a column whose shares are taken
    key_parts: int = 8  # parts of which label histories take pairs


def fit_windows(horizon_s: int, store: GraphStore, until: int) -> tuple[int, ...]:
    """Lengths of the windows: one horizon, three, and the longer of ten and half a year, as far as the past reaches.

    Args:
        horizon_s: The task's horizon, seconds; if 0, the largest usual step between times of a table.
        store: The graph.
        until: The last training seed time, Unix seconds.
    """
    steps, first = [], until
    for t in store.tables.values():
        if t.time is None:
            continue
        past = np.unique(np.asarray(t.time[: int(t.cut(np.array([until]))[0])]))
        if len(past):
            first = min(first, int(past[0]))
        if len(past) > 1:
            steps.append(int(np.median(np.diff(past))))
    # A window shorter than the step between a table's times would hold nothing or all of one time.
    base = max(horizon_s or max(steps, default=0), min(steps, default=0), 1)
    wanted = [base, 3 * base, max(10 * base, HALF_YEAR_S)]
    return tuple(w for w in wanted if w < until - first)


def core_plan(
    store: GraphStore,
    entity_table: str,
    encoding: Encoding,
    *,
    see: Visibility,
    windows_s: Sequence[int],
    horizon_s: int,
    num_labels: int,
    limits: Limits | None = None,
) -> AggregatePlan:
    """Every value with few statistics: attributes, clocks, counts, recency, all-past and recent means, label history.

    Args:
        store: The graph.
        entity_table: Whose rows the seeds are.
        encoding: Fitted on the past; its vocabularies say which categories are frequent.
        see: What seeds see.
        windows_s: From `fit_windows`.
        horizon_s: How long after its seed time a label is known, seconds.
        num_labels: Columns of the label history.
        limits: How many.
    """
    paths = _Paths(store, entity_table, encoding, see, limits or Limits())
    clock = encoding.time
    phases = (("hour", clock.has_clock), ("weekday", clock.has_week), ("month", clock.has_year))
    features = [Feature(family="clock", column=c) for c, there in phases if there]
    features += [Feature(family="attribute", anchor=a, column=c) for a in paths.anchors for c in paths.attributes(a)]
    room = paths.limits.values
    for anchor, chain in paths.histories():
        values = list(paths.values(anchor, chain))[: max(room, 1)]
        room -= len(values)
        for value in values:
            stats = _core_stats(value, len(windows_s), timed=paths.is_timed(chain))
            features += [Feature(family="history", anchor=anchor, chain=chain, value=value, stat=s) for s in stats]
        if room <= 0:
            break
    for keys in paths.label_keys():
        stats = _label_stats(len(windows_s), single=len(keys) < 2)
        features += [Feature(family="label", keys=keys, label=k, stat=s) for k in range(num_labels) for s in stats]
    return AggregatePlan(
        entity_table=entity_table, windows_s=tuple(windows_s), horizon_s=horizon_s, features=tuple(features)
    )


def full_plan(core: AggregatePlan, kept: Sequence[int], store: GraphStore) -> AggregatePlan:
    """The features kept of a core plan, and all statistics of the values among them."""
    seen: dict[Feature, None] = {}
    for i in kept:
        f = core.features[i]
        seen[f] = None
        if f.family != "history" or f.value is None:
            continue
        timed = any(store[store.edge_types[e].source].time is not None for e in f.chain)
        for stat in _full_stats(f.value, len(core.windows_s), timed=timed):
            seen[Feature(family="history", anchor=f.anchor, chain=f.chain, value=f.value, stat=stat)] = None
    return core.with_features(list(seen))


def _core_stats(value: Value, num_windows: int, *, timed: bool) -> list[Stat]:
    if not timed:
        return [Stat(kind="rows")] if value.kind == "rows" else [Stat(kind="mean"), Stat(kind="sum")]
    if value.kind == "rows":
        ranges = [Stat(kind="rows", range=r) for r in range(num_windows + 1)]
        return [*ranges, Stat(kind="since_last"), Stat(kind="since_first"), Stat(kind="overdue")]
    if value.kind == "new":
        return [Stat(kind="sum"), Stat(kind="mean"), Stat(kind="mean", range=num_windows + 1)]
    if value.kind == "gap":
        return [Stat(kind="mean"), Stat(kind="std"), Stat(kind="last"), Stat(kind="ewm")]
    if value.kind == "share":
        return [Stat(kind="mean"), Stat(kind="ewm"), *(Stat(kind="sum", range=r) for r in range(1, num_windows + 1))]
    return [
        Stat(kind="mean"),
        Stat(kind="ewm"),
        Stat(kind="last"),
        Stat(kind="mean", range=num_windows + 1),
        *(Stat(kind="sum", range=r) for r in range(1, min(num_windows, 2) + 1)),
    ]


def _full_stats(value: Value, num_windows: int, *, timed: bool) -> list[Stat]:
    if value.kind == "rows":
        return _core_stats(value, num_windows, timed=timed)
    if not timed:
        return [Stat(kind=k) for k in ("mean", "sum", "std", "min", "max")]
    windows, last = range(1, num_windows + 1), range(num_windows + 1, num_windows + 1 + len(LAST_ROWS))
    stats = [Stat(kind="mean", range=r) for r in (0, *windows, *last)]
    stats += [Stat(kind="sum", range=r) for r in (0, *windows)]
    stats += [Stat(kind="ewm"), Stat(kind="last")]
    if value.kind in ("share", "new"):
        return stats
    stats += [Stat(kind="std"), Stat(kind="std", range=last[-1]), Stat(kind="min"), Stat(kind="max")]
    stats += [Stat(kind="min", range=last[0]), Stat(kind="max", range=last[0])]
    stats += [Stat(kind="last", other=1), Stat(kind="last", other=2)]
    stats += [Stat(kind="change", range=last[0], other=0), Stat(kind="change", range=last[0], other=last[1])]
    return stats


def _label_stats(num_windows: int, *, single: bool) -> list[Stat]:
    stats = [Stat(kind="mean"), Stat(kind="ewm"), Stat(kind="mean", range=num_windows + 2)]
    if single:
        stats += [Stat(kind="rows"), Stat(kind="last"), Stat(kind="since_last")]
        stats += [Stat(kind="mean", range=num_windows + 1)]
        stats += [Stat(kind="mean", range=r) for r in range(1, num_windows + 1)]
    return stats


class _Paths:
    """Walks the schema from an entity table."""

    def __init__(
        self, store: GraphStore, entity_table: str, encoding: Encoding, see: Visibility, limits: Limits
    ) -> None:
        self.store, self.entity, self.encoding, self.see, self.limits = store, entity_table, encoding, see, limits
        self.edges = store.edge_types
        self.anchors = self._anchors()

    def is_timed(self, chain: Sequence[int]) -> bool:
        return any(self.store[self.edges[e].source].time is not None for e in chain)

    def _up(self, table: str) -> list[int]:
        return [e for e, t in enumerate(self.edges) if t.source == table]

    def _down(self, table: str) -> list[int]:
        return [e for e, t in enumerate(self.edges) if t.target == table]

    def _anchors(self) -> list[Anchor]:
        """The entity, its parents, its latest children, theirs: nearest first."""
        found: list[Anchor] = [()]
        for e in self._up(self.entity):
            found.append((("up", e),))
        if self.limits.depth < 2:
            return found
        for e in self._down(self.entity):
            if self.store[self.edges[e].source].time is not None:
                found.append((("last", e),))
        two: list[Anchor] = []
        for anchor in found[1:]:
            kind, last = anchor[0]
            for e in self._up(anchor_table(self.store, self.entity, anchor)):
                if kind == "up" or e != last:
                    two.append((*anchor, ("up", e)))
        return found + two

    def attributes(self, anchor: Anchor) -> list[str]:
        """Columns of the anchor's row; of a latest child only categories, its numbers are histories' last values."""
        table = self.store[anchor_table(self.store, self.entity, anchor)]
        categories = list(self.encoding.tables[table.name].categories)
        if anchor and anchor[-1][0] == "last":
            return categories
        columns = [*table.columns.number_names, *table.columns.instant_names, *categories]
        return columns + ([""] if table.time is not None else [])

    def histories(self) -> Iterator[tuple[Anchor, tuple[int, ...]]]:
        """Where rows hang from an anchor: by depth, nearest first."""
        found: list[tuple[int, Anchor, tuple[int, ...]]] = []
        for anchor in self.anchors:
            if anchor and anchor[-1][0] == "last":  # what hangs from one row: too little to add up
                continue
            chains: list[tuple[int, ...]] = [(e,) for e in self._down(anchor_table(self.store, self.entity, anchor))]
            for chain in chains:  # grows while it runs
                depth = len(anchor) + len(chain)
                if depth > self.limits.depth:
                    continue
                found.append((depth, anchor, chain))
                if len(chain) < 2:
                    chains += [(*chain, e) for e in self._down(self.edges[chain[-1]].source)]
        for _, anchor, chain in sorted(found, key=lambda f: f[0]):
            yield anchor, chain

    def values(self, anchor: Anchor, chain: tuple[int, ...]) -> Iterator[Value]:
        """What can be aggregated over the rows of a history, nearest first."""
        table, walked = self.edges[chain[-1]].source, chain[-1]
        timed = self.is_timed(chain)
        depth = len(anchor) + len(chain)
        others = [e for e in self._up(table) if e != walked]
        columns = self.store[table].columns
        yield Value()
        if timed:
            yield Value(kind="gap")
        yield from self._columns(table, ())
        if timed:
            yield from (Value(kind="new", edge=e) for e in others)
        if timed and self.store[table].time is not None:
            yield from (Value(kind="instant", column=c) for c in columns.instant_names)
        if depth >= self.limits.depth:
            return
        if len(anchor) + len(chain) == 1 or (len(anchor) == 1 and len(chain) == 1):
            for e in others:
                yield Value(kind="siblings", edge=e)
                yield from (Value(kind="relative", edge=e, column=c) for c in columns.number_names)
        for e in others:
            yield from self._columns(self.edges[e].target, (e,))

    def _columns(self, table: str, ups: tuple[int, ...]) -> Iterator[Value]:
        columns, encoding = self.store[table].columns, self.encoding.tables[table]
        yield from (Value(kind="number", ups=ups, column=c) for c in columns.number_names)
        for c, vocabulary in encoding.categories.items():
            if 1 < len(vocabulary) <= self.limits.categories:
                frequent = vocabulary[: self.limits.shares if len(vocabulary) > 2 else 1]
                yield from (Value(kind="share", ups=ups, column=c, category=v) for v in frequent)

    def label_keys(self) -> list[tuple[KeyPart, ...]]:
        """What past labels are grouped by: nothing, each part, pairs of parts other than the entity's own row."""
        own = KeyPart()
        visible = self.store[self.entity].time is None or not self.see.known
        rows = [KeyPart(anchor=a) for a in self.anchors if a and a[-1][0] == "up"]
        categories = [
            KeyPart(column=c)
            for c, v in self.encoding.tables[self.entity].categories.items()
            if len(v) > 1 and (visible or c in self.see.known)
        ]
        for a in self.anchors:
            if len(a) == 1 and a[0][0] == "up":
                table = self.encoding.tables[self.edges[a[0][1]].target]
                categories += [KeyPart(anchor=a, column=c) for c, v in table.categories.items() if len(v) > 1]
        parts = [*(p for p in rows if len(p.anchor) == 1), *categories, *(p for p in rows if len(p.anchor) > 1)]
        few = parts[: self.limits.key_parts]
        pairs = [(a, b) for i, a in enumerate(few) for b in few[i + 1 :] if not (a.anchor == b.anchor and a.anchor)]
        return [(), (own,), *((p,) for p in parts[: 3 * self.limits.key_parts]), *pairs]
