"""Anchors: the rows a seed's aggregates start from. Itself, its parents, and the parents of its latest children.

An anchor is a walk of steps. ``("up", e)`` goes to the parent along foreign key ``e``; ``("last", e)`` to the latest
visible row that points here along it. So ``(("last", results.driverId), ("up", results.constructorId))`` is a
driver's present constructor. A row that is not visible at the seed time is no anchor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from foreknow.graph.store import GraphStore
from foreknow.sample.aggregates.history import History, build_history
from foreknow.sample.seeds import Seeds
from foreknow.sample.temporal import known_until

__all__ = ["Anchor", "Step", "Visibility", "Walker", "anchor_table"]

Step = tuple[Literal["up", "last"], int]
Anchor = tuple[Step, ...]


@dataclass(frozen=True, kw_only=True)
class Visibility:
    """What a task lets its seeds see, as the sampler has it.

    Attributes:
        inclusive: Whether rows stamped exactly at the seed time are visible.
        context_until: No row after this time is visible, whatever the seed time.
        known: Columns of an entity row later than its seed time that are visible all the same.
        known_edges: Foreign keys, by number, of such a row that may be followed.
    """

    inclusive: bool = True
    context_until: int | None = None
    known: tuple[str, ...] = ()
    known_edges: tuple[int, ...] = ()

    def until(self, time: np.ndarray) -> np.ndarray:
        """The last second whose rows are visible at each seed time."""
        return known_until(time, inclusive=self.inclusive, context_until=self.context_until)


def anchor_table(store: GraphStore, entity_table: str, anchor: Anchor) -> str:
    """The table an anchor's rows are of."""
    table = entity_table
    for kind, e in anchor:
        table = store.edge_types[e].target if kind == "up" else store.edge_types[e].source
    return table


class Walker:
    """Finds the anchors of some seeds, each walk once.

    Args:
        store: The graph.
        entity_table: Whose rows the seeds are.
        seeds: The seeds.
        see: What they see.
        histories: Histories built before, by chain; added to.
    """

    def __init__(
        self,
        store: GraphStore,
        entity_table: str,
        seeds: Seeds,
        see: Visibility,
        histories: dict[tuple[int, ...], History],
    ) -> None:
        self.store, self.entity_table, self.seeds, self.see = store, entity_table, seeds, see
        self.known = see.until(seeds.time)
        entity = store[entity_table]
        self.unseen = np.zeros(len(seeds), bool) if entity.time is None else entity.time[seeds.row] > self.known
        self._histories = histories
        self._found: dict[Anchor, np.ndarray] = {(): seeds.row.astype(np.int64)}

    def history(self, chain: tuple[int, ...]) -> History:
        """The history along a chain of keys, built once."""
        if chain not in self._histories:
            self._histories[chain] = build_history(self.store, chain)
        return self._histories[chain]

    def rows(self, anchor: Anchor) -> np.ndarray:
        """Row of each seed's anchor, -1 for none. Shape ``(B,)``, int64."""
        if anchor not in self._found:
            before, (kind, e) = self.rows(anchor[:-1]), anchor[-1]
            is_own = len(anchor) == 1
            self._found[anchor] = self._up(before, e, is_own=is_own) if kind == "up" else self._last(before, e)
        return self._found[anchor]

    def _up(self, rows: np.ndarray, e: int, *, is_own: bool) -> np.ndarray:
        parents = np.asarray(self.store.parents[e])
        if not len(parents):
            return np.full(len(rows), -1)
        found = np.where(rows >= 0, parents[np.maximum(rows, 0)].astype(np.int64), -1)
        if is_own and e not in self.see.known_edges:
            found = np.where(self.unseen, -1, found)
        time = self.store[self.store.edge_types[e].target].time
        if time is not None and len(time):
            found = np.where(time[np.maximum(found, 0)] > self.known, -1, found)
        return found

    def _last(self, rows: np.ndarray, e: int) -> np.ndarray:
        history = self.history((e,))
        if history.time is None or not len(history.rows):
            return np.full(len(rows), -1)
        spans = history.spans(rows, self.known, (), ())
        found: np.ndarray = history.rows[np.maximum(spans.stop - 1, 0)].astype(np.int64)
        return np.where(spans.any_row, found, -1)
