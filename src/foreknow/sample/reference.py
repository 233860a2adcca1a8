"""The sampler again, in plain Python, reading every row's own time instead of trusting row order: the tests' oracle.

`Past` says what a seed time sees; `reference_sample` lays out every set of a plan complete, as the sampler must draw
it with a fan-out of -1. With smaller fan-outs the sampler draws some of `Past.children`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from foreknow.graph.store import GraphStore
from foreknow.sample.plan import Plan
from foreknow.types import DAY_S, NEVER

__all__ = ["Past", "ReferenceSet", "reference_sample"]


@dataclass(frozen=True, kw_only=True)
class Past:
    """What of a store is visible at a seed time: rows with ``time <= seed_time`` (``<`` if exclusive), none later
    than ``context_until``, all rows of tables without time.
    """

    store: GraphStore
    inclusive: bool = True
    context_until: int | None = None

    def sees(self, table: str, row: int, at: int) -> bool:
        """Whether a row is visible, by its own time."""
        times = self.store[table].time
        if times is None:
            return True
        time = int(times[row])
        if time == NEVER:
            return False
        limit = at if self.context_until is None else min(at, self.context_until)
        return time <= limit if self.inclusive else time < limit

    def children(self, edge: int, row: int, at: int) -> list[int]:
        """Visible rows that point to a row along a foreign key, in row order, by scanning the whole column."""
        table = self.store.edge_types[edge].source
        linked = [child for child, parent in enumerate(self.store.parents[edge].tolist()) if parent == row]
        return [child for child in linked if self.sees(table, child, at)]

    def parent(self, edge: int, row: int, at: int) -> int:
        """The row a row points to; -1 if there is none or it is not visible."""
        parent = int(self.store.parents[edge][row])
        return parent if parent >= 0 and self.sees(self.store.edge_types[edge].target, parent, at) else -1

    def window_counts(self, edge: int, row: int, at: int, windows_days: Sequence[float]) -> list[float]:
        """Children in ``(at - window, at]`` (``[at - window, at)`` if exclusive), then days since the last, or -1."""
        times = self.store[self.store.edge_types[edge].source].time
        if times is None:
            return [*([0.0] * len(windows_days)), -1.0]
        seen = [int(times[c]) for c in self.children(edge, row, at)]
        starts = [at - round(w * DAY_S) for w in windows_days]
        counts = [sum(t > start if self.inclusive else t >= start for t in seen) for start in starts]
        return [*map(float, counts), (at - max(seen)) / DAY_S if seen else -1.0]


@dataclass(frozen=True, kw_only=True)
class ReferenceSet:
    """A set of the plan, complete: its rows, the seed time each is looked at from, and as in `DrawnSet` the rest."""

    rows: list[int]
    times: list[int]
    owner: list[int] | None = None
    degree: list[int] | None = None
    link: list[int] | None = None


def reference_sample(
    past: Past, plan: Plan, seeds: Sequence[int], seed_time: Sequence[int], *, known_edges: Collection[int] = ()
) -> list[ReferenceSet]:
    """Every set of a plan with all that is visible: children in row order, each distinct parent once.

    Args:
        past: What is visible.
        plan: The sets; its fan-outs are not looked at.
        seeds: Row ids in the entity table.
        seed_time: When each prediction is made, Unix seconds.
        known_edges: Foreign keys of seeds whose own row is not visible yet that may be followed all the same.
    """
    unseen = [not past.sees(plan.entity_table, row, at) for row, at in zip(seeds, seed_time, strict=True)]
    sets = [ReferenceSet(rows=list(seeds), times=list(seed_time))]
    for s in plan.sets[1:]:
        source = sets[s.source]
        pairs = list(zip(source.rows, source.times, strict=True))
        if s.kind == "parents":
            parents = [past.parent(s.edge, row, at) for row, at in pairs]
            if s.source == 0 and s.edge not in known_edges:
                parents = [-1 if hidden else parent for parent, hidden in zip(parents, unseen, strict=True)]
            looks_alike = s.is_leaf and _is_timeless(past.store, s.table)  # then each row is there once per batch
            sets.append(_distinct(parents, [min(seed_time, default=0)] * len(parents) if looks_alike else source.times))
            continue
        children = [past.children(s.edge, row, at) for row, at in pairs]
        owner = np.repeat(np.arange(len(pairs)), [len(c) for c in children]).tolist()
        sets.append(
            ReferenceSet(
                rows=[child for c in children for child in c],
                times=[source.times[i] for i in owner],
                owner=owner,
                degree=[len(c) for c in children],
            )
        )
    return sets


def _distinct(parents: Sequence[int], times: Sequence[int]) -> ReferenceSet:
    """Each (parent, time) once, in order of first occurrence; no parent, no entry."""
    found: dict[tuple[int, int], int] = {}
    link = [-1 if p < 0 else found.setdefault((p, at), len(found)) for p, at in zip(parents, times, strict=True)]
    return ReferenceSet(rows=[row for row, _ in found], times=[at for _, at in found], link=link)


def _is_timeless(store: GraphStore, table: str) -> bool:
    return store[table].time is None and not store[table].columns.instant_names
