"""Histories: the rows that hang from each row of a table along a chain of links, in the order they became known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from foreknow.errors import SamplingError
from foreknow.graph.store import GraphStore
from foreknow.sample.aggregates.kernel import locate
from foreknow.types import NEVER, NO_ROW

__all__ = ["History", "Spans", "build_history", "group_rows"]


@dataclass(frozen=True, kw_only=True)
class Spans:
    """Where the rows each query sees stand in a history: ``[start, stop)``, and where its ranges begin.

    ``start`` and ``stop`` are -1 for queries without an anchor. ``low``: ``(B, R)``. ``order`` sorts the queries by
    group and time.
    """

    start: np.ndarray
    stop: np.ndarray
    low: np.ndarray
    order: np.ndarray

    @property
    def any_row(self) -> np.ndarray:
        """Which queries see a row at all."""
        found: np.ndarray = self.stop > self.start
        return found


@dataclass(frozen=True, kw_only=True)
class History:
    """Rows in groups. Group ``g`` holds ``rows[pointer[g]:pointer[g + 1]]``, earliest first.

    ``time`` says when each row became known (`NEVER` comes last and is never seen), in Unix seconds; it is None if
    nothing along the chain has a time: then all rows are seen, and their order means nothing.
    """

    pointer: np.ndarray
    rows: np.ndarray
    time: np.ndarray | None

    def spans(self, anchor: np.ndarray, known: np.ndarray, windows: Sequence[np.ndarray], last: Sequence[int]) -> Spans:
        """What each query sees.

        Args:
            anchor: Group of each query, -1 for none. Shape ``(B,)``.
            known: Last second whose rows it sees (`known_until`). Shape ``(B,)``.
            windows: For each window, the last second before it. Shape ``(B,)`` each.
            last: Numbers of rows: a range over the last 5, say.

        Returns:
            Ranges: all rows, then one per window, then one per number of rows.
        """
        n = len(anchor)
        start, stop = np.empty(n, np.int64), np.empty(n, np.int64)
        low = np.empty((n, 1 + len(windows) + len(last)), np.int64)
        anchor = anchor.astype(np.int64)
        if self.time is None:
            there, at = anchor >= 0, np.maximum(anchor, 0)
            start[:] = np.where(there, self.pointer[at], -1)
            stop[:] = np.where(there, self.pointer[at + 1], -1)
            low[:, 1 : 1 + len(windows)] = start[:, None]
        else:
            locate(self.pointer, self.time, anchor, known, start, stop)
            before = np.empty(n, np.int64)
            for w, limit in enumerate(windows):
                locate(self.pointer, self.time, anchor, np.minimum(limit, known), start, before)
                low[:, 1 + w] = before
        low[:, 0] = start
        for k, rows in enumerate(last):
            low[:, 1 + len(windows) + k] = np.maximum(start, stop - rows)
        return Spans(start=start, stop=stop, low=low, order=np.lexsort((stop, start)))


def build_history(store: GraphStore, chain: Sequence[int]) -> History:
    """The rows at the end of a chain of foreign keys walked backwards, for each row of the table it begins at.

    A row is known once it and every row between are.

    Args:
        store: The graph.
        chain: Foreign keys by number: the first points to the table the chain begins at, each next one to the
            source of the one before.

    Raises:
        SamplingError: The keys don't follow one another.
    """
    edges = store.edge_types
    for a, b in pairwise(chain):
        if edges[b].target != edges[a].source:
            raise SamplingError(f"key {edges[b].name} of '{edges[b].source}' does not lead to '{edges[a].source}'")
    first, table = edges[chain[0]], store[edges[chain[0]].source]
    if len(chain) == 1:
        rows, pointer = np.asarray(store.children[chain[0]]), np.asarray(store.pointers[chain[0]])
        return History(pointer=pointer, rows=rows, time=None if table.time is None else np.asarray(table.time)[rows])
    group = np.asarray(store.parents[chain[0]], np.int64)
    time = table.time
    for e in chain[1:]:
        up, child = np.asarray(store.parents[e]), store[edges[e].source]
        linked = up >= 0
        group = np.where(linked, group[np.maximum(up, 0)], NO_ROW) if len(group) else np.full(len(up), NO_ROW)
        above = None if time is None else np.where(linked, time[np.maximum(up, 0)], NEVER) if len(time) else None
        own = None if child.time is None else np.asarray(child.time)
        time = np.maximum(above, own) if above is not None and own is not None else above if own is None else own
    return group_rows(group, time, store[first.target].num_rows)


def group_rows(group: np.ndarray, time: np.ndarray | None, num_groups: int) -> History:
    """Rows put into groups, by time within each; ties keep their order.

    Args:
        group: Group of each row; -1 for none. Shape ``(N,)``.
        time: When each row becomes known. Shape ``(N,)``; None if that means nothing.
        num_groups: How many groups there are.
    """
    rows = np.flatnonzero(group >= 0).astype(np.int32)
    keys = (group[rows],) if time is None else (time[rows], group[rows])
    rows = rows[np.lexsort(keys)]
    pointer = np.zeros(num_groups + 1, np.int64)
    np.cumsum(np.bincount(group[rows], minlength=num_groups), out=pointer[1:])
    return History(pointer=pointer, rows=rows, time=None if time is None else time[rows])
