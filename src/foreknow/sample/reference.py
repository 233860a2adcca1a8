"""The sampler again, in plain Python and NumPy, reading times instead of trusting row order: the tests' oracle."""

from __future__ import annotations

import numpy as np

from foreknow.graph.store import GraphStore
from foreknow.sample.plan import Plan
from foreknow.types import NEVER

__all__ = ["is_visible", "visible_children", "visible_parent"]


def is_visible(
    store: GraphStore, table: str, row: int, seed_time: int, *, inclusive: bool = True, context_until: int | None = None
) -> bool:
    """Whether a row is part of the past at a seed time, by its own time."""
    time = store[table].time
    if time is None:
        return True
    t = int(time[row])
    if t == NEVER:
        return False
    limit = seed_time if context_until is None else min(seed_time, context_until)
    return t <= limit if inclusive else t < limit


def visible_children(store: GraphStore, plan: Plan, edge: int, row: int, seed_time: int, **rule: object) -> list[int]:
    """Children of a row along a foreign key that are visible, in row order, by scanning the whole child table."""
    child_table = plan.edge_types[edge].source
    linked = np.flatnonzero(np.asarray(store.parents[edge]) == row)
    return [int(c) for c in linked if is_visible(store, child_table, int(c), seed_time, **rule)]  # type: ignore[arg-type]


def visible_parent(store: GraphStore, plan: Plan, edge: int, row: int, seed_time: int, **rule: object) -> int:
    """Parent of a row along a foreign key, or -1."""
    parent = int(store.parents[edge][row])
    parent_table = plan.edge_types[edge].target
    if parent < 0 or not is_visible(store, parent_table, parent, seed_time, **rule):  # type: ignore[arg-type]
        return -1
    return parent
