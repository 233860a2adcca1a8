"""Temporal sampling: the past of a batch of seeds, as the node sets of a plan.

A row of a table with time is visible to a seed if ``time <= seed_time`` (``<`` if the context is exclusive); rows of
tables without time always are. `known_until` says so, in one place. Since row id order is time order, that is one
cut-off row id per table and seed time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from foreknow.errors import SamplingError
from foreknow.graph.store import GraphStore
from foreknow.sample.kernels import child_ranges, draw_children, parent_rows, unique_pairs, window_counts
from foreknow.sample.plan import NodeSet, Plan
from foreknow.types import DAY_S

__all__ = ["DrawnSet", "Sample", "Strategy", "TemporalSampler", "known_until"]

Strategy = Literal["uniform", "last"]

_MASK = (1 << 64) - 1


def known_until(seed_time: np.ndarray, *, inclusive: bool, context_until: int | None) -> np.ndarray:
    """The last second whose rows are visible at each seed time: rows with ``time <= known_until`` are.

    Args:
        seed_time: Unix seconds. Shape ``(B,)``, int64.
        inclusive: Whether rows stamped exactly at the seed time (or at `context_until`) are visible.
        context_until: No row after this time is visible, whatever the seed time.
    """
    limit = seed_time if context_until is None else np.minimum(seed_time, context_until)
    return limit if inclusive else limit - 1


@dataclass(frozen=True, kw_only=True)
class DrawnSet:
    """The rows drawn for one node set.

    Attributes:
        ids: Row ids. Shape ``(N,)``, int32.
        slot: Which of the batch's distinct seed times each row is looked at from. Shape ``(N,)``, int32.
        owner: For children and edges: position in the source set of the row each belongs to; ascending. ``(N,)``.
        offsets: For children and edges: rows ``offsets[i]:offsets[i + 1]`` belong to source row ``i``.
        degree: For children and edges: visible children of each source row, drawn or not. Shape ``(N_source,)``.
        link: For parents: position in this set of each source row's parent, -1 if none. Shape ``(N_source,)``.
        windows: For children of the seeds: counts in the windows, then days since the last child (-1 if none).
            Shape ``(N_source, windows + 1)``, float32.
    """

    ids: np.ndarray
    slot: np.ndarray
    owner: np.ndarray | None = None
    offsets: np.ndarray | None = None
    degree: np.ndarray | None = None
    link: np.ndarray | None = None
    windows: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A drawn batch. ``seed_time[slot]`` is the time of each slot; ``unseen`` marks seeds whose own row is later."""

    sets: tuple[DrawnSet, ...]
    seed_time: np.ndarray
    unseen: np.ndarray

    @property
    def num_rows(self) -> int:
        """Rows over all sets."""
        return sum(len(s) for s in self.sets)


class TemporalSampler:
    """Draws batches for one plan over one store.

    Args:
        store: The graph.
        plan: What to draw.
        strategy: ``uniform`` among visible children, or the ``last`` ones.
        inclusive: Whether rows stamped exactly at the seed time are visible.
        context_until: No row after this time is visible, whatever the seed time.
        windows_days: Lengths of the windows in which children of seeds are counted.
        known_edges: Foreign keys (by number) of an unseen seed row that may be followed all the same.
        seed: Sampling seed.
    """

    def __init__(
        self,
        store: GraphStore,
        plan: Plan,
        *,
        strategy: Strategy = "uniform",
        inclusive: bool = True,
        context_until: int | None = None,
        windows_days: Sequence[float] = (),
        known_edges: Sequence[int] = (),
        seed: int = 0,
    ) -> None:
        self.store = store
        self.plan = plan
        self.strategy = strategy
        self.inclusive = inclusive
        self.context_until = context_until
        self.windows_days = tuple(windows_days)
        self.known_edges = frozenset(known_edges)
        self.seed = seed
        # A parent set nothing hangs from, of a table that looks the same at any time, holds each row once per batch.
        self._timeless = {
            s.index
            for s in plan.sets
            if s.kind == "parents"
            and s.is_leaf
            and store[s.table].time is None
            and not store[s.table].columns.instant_names
        }

    def known_until(self, seed_time: np.ndarray) -> np.ndarray:
        """The last second whose rows this sampler's seeds see. Shape as given."""
        return known_until(seed_time, inclusive=self.inclusive, context_until=self.context_until)

    def sample(self, seeds: np.ndarray, seed_time: np.ndarray, *, epoch: int = 0) -> Sample:
        """Draw the past of every seed, hop by hop.

        Args:
            seeds: Row ids in the entity table. Shape ``(B,)``, int32.
            seed_time: When each prediction is made, Unix seconds UTC. Shape ``(B,)``, int64.
            epoch: Changes the draw; the same epoch draws the same.

        Returns:
            One `DrawnSet` per set of the plan, seeds first and in the order given.

        Raises:
            SamplingError: A seed is not a row of the entity table.

        Source: neighbour sampling after Hamilton et al. 2017 (arXiv 1706.02216), with the time rule added.
        """
        entity = self.store[self.plan.entity_table]
        if len(seeds) and (seeds.min() < 0 or seeds.max() >= entity.num_rows):
            bad = seeds[(seeds < 0) | (seeds >= entity.num_rows)]
            raise SamplingError(
                f"{len(bad):,} of {len(seeds):,} seeds are no rows of '{entity.name}', "
                f"which has {entity.num_rows:,}: e.g. {int(bad[0])}",
                hint="number rows from 0, in the order of the graph store (GraphTable.to_row)",
            )
        times, slot = np.unique(seed_time, return_inverse=True)
        slot = slot.astype(np.int32)
        known = self.known_until(times)
        cut = {t: self.store[t].cut(known) for t in {s.table for s in self.plan.sets}}
        seeds = seeds.astype(np.int32)
        unseen = seeds >= cut[entity.name][slot]
        drawn = [DrawnSet(ids=seeds, slot=slot)]
        for s in self.plan.sets[1:]:
            source = drawn[s.source]
            if s.kind == "parents":
                hidden = unseen if s.source == 0 and s.edge not in self.known_edges else None
                drawn.append(self._parents(s, source, cut[s.table], hidden))
            else:
                drawn.append(self._children(s, source, cut[s.table], times, epoch))
        return Sample(sets=tuple(drawn), seed_time=times, unseen=unseen)

    def _parents(self, s: NodeSet, source: DrawnSet, cut: np.ndarray, hidden: np.ndarray | None) -> DrawnSet:
        n = len(source)
        rows = np.empty(n, np.int32)
        parent_rows(self.store.parents[s.edge], source.ids, source.slot, cut, rows)
        if hidden is not None:
            rows[hidden] = -1
        slot = np.zeros(n, np.int32) if s.index in self._timeless else source.slot
        ids, slots, link = np.empty(n, np.int32), np.empty(n, np.int32), np.empty(n, np.int32)
        count = unique_pairs(rows, slot, ids, slots, link)
        return DrawnSet(ids=ids[:count].copy(), slot=slots[:count].copy(), link=link)

    def _children(self, s: NodeSet, source: DrawnSet, cut: np.ndarray, times: np.ndarray, epoch: int) -> DrawnSet:
        n = len(source)
        pointer, child = self.store.pointers[s.edge], self.store.children[s.edge]
        low, degree = np.empty(n, np.int64), np.empty(n, np.int32)
        offsets = np.empty(n + 1, np.int64)
        child_ranges(pointer, child, source.ids, source.slot, cut, s.fan_out, low, degree, offsets)
        ids, owner = np.empty(offsets[-1], np.int32), np.empty(offsets[-1], np.int32)
        key = self._keys(s.index, epoch, source, times)
        draw_children(child, low, degree, offsets, key, self.strategy == "last", ids, owner)
        windows = self._windows(s, source, low, degree, times) if s.source == 0 else None
        return DrawnSet(ids=ids, slot=source.slot[owner], owner=owner, offsets=offsets, degree=degree, windows=windows)

    def _keys(self, index: int, epoch: int, source: DrawnSet, times: np.ndarray) -> np.ndarray:
        """Random key of each source row: a hash of sampling seed, epoch, set, row and seed time."""
        base = _mix_int(_mix_int(_mix_int(self.seed) ^ epoch) ^ index)
        with np.errstate(over="ignore"):
            at = _mix_array(times.astype(np.uint64) ^ np.uint64(base))
            return _mix_array(at[source.slot] ^ source.ids.astype(np.uint64))

    def _windows(
        self, s: NodeSet, source: DrawnSet, low: np.ndarray, degree: np.ndarray, times: np.ndarray
    ) -> np.ndarray:
        """Counts of children in ``(seed_time - window, seed_time]`` (``[...)`` if exclusive), days since the last."""
        table, child = self.store[s.table], self.store.children[s.edge]
        out = np.zeros((len(source), len(self.windows_days) + 1), np.float32)
        out[:, -1] = -1
        if table.time is None:
            return out
        starts = np.empty((len(self.windows_days), len(times)), np.int64)
        for w, days in enumerate(self.windows_days):
            starts[w] = table.cut(self.known_until(times - round(days * DAY_S)))
        counts = np.empty((len(source), len(starts)), np.int64)
        window_counts(child, low, degree, source.slot, starts, counts)
        out[:, :-1] = counts
        has = degree > 0
        latest = table.time[child[(low + degree - 1)[has]]]
        out[has, -1] = (times[source.slot[has]] - latest) / DAY_S
        return out


def _mix_int(x: int) -> int:
    """`kernels.mix` on a Python integer."""
    x = (x + 0x9E3779B97F4A7C15) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)


def _mix_array(x: np.ndarray) -> np.ndarray:
    """`kernels.mix` on a uint64 array."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    out: np.ndarray = x ^ (x >> np.uint64(31))
    return out
