"""Label history: what is known at a seed time of the labels of earlier seeds that share a key.

A label is known once its window has closed: ``horizon`` after its seed time, and only up to the end of the context.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from foreknow.graph.store import GraphStore
from foreknow.sample.aggregates.anchor import Walker, anchor_table
from foreknow.sample.aggregates.feature import KeyPart
from foreknow.sample.seeds import Seeds

__all__ = ["LabelHistory", "key_groups", "label_horizon"]


@dataclass(frozen=True, kw_only=True)
class LabelHistory:
    """Seeds whose labels may become known, and the labels. ``values``: ``(N, K)`` float32, NaN where unknown."""

    seeds: Seeds
    values: np.ndarray


def label_horizon(splits: Iterable[np.ndarray]) -> int:
    """How long after a seed time its label is surely known, if the task doesn't say: seconds.

    The largest of: the usual step between training seed times, and the pauses between splits. A task whose splits
    keep apart by its horizon, as they must not to leak, is taken at its word; one whose seed times are denser than
    its horizon is not taken in by them.

    Args:
        splits: Seed times of train, validation and test, in this order.
    """
    times = [np.unique(t) for t in splits if len(t)]
    if not times:
        return 0
    pauses = [int(b[0] - a[-1]) for a, b in pairwise(times)]
    steps = [int(np.median(np.diff(times[0])))] if len(times[0]) > 1 else []
    return max([*pauses, *steps, 0])


def key_groups(
    keys: Sequence[KeyPart], past: Walker, asked: Walker, store: GraphStore
) -> tuple[np.ndarray, np.ndarray, int]:
    """Number the values of a key over past seeds and the seeds asked about.

    Returns:
        Group of each past seed and of each seed asked about, -1 where a part of the key is missing, and how many
        groups there are.
    """
    n = len(past.seeds)
    group = np.zeros(n + len(asked.seeds), np.int64)
    size = 1
    for key in keys:
        part = np.concatenate([_part(key, past, store), _part(key, asked, store)])
        values, number = np.unique(part, return_inverse=True)
        missing = (part < 0) | (group < 0)
        group = np.where(missing, -1, group * len(values) + number)
        size *= len(values)
        if size > 1 << 40:  # keep the product of several parts small
            group, size = _renumber(group)
    group, size = _renumber(group)
    return group[:n], group[n:], size


def _renumber(group: np.ndarray) -> tuple[np.ndarray, int]:
    values, number = np.unique(group, return_inverse=True)
    shift = int(len(values) > 0 and values[0] < 0)
    return number - shift, len(values) - shift


def _part(key: KeyPart, walker: Walker, store: GraphStore) -> np.ndarray:
    rows = walker.rows(key.anchor)
    if not key.column:
        return rows
    table = store[anchor_table(store, walker.entity_table, key.anchor)]
    if not table.num_rows:
        return np.full(len(rows), -1)
    codes = table.columns.codes[key.column][np.maximum(rows, 0)].astype(np.int64) - 1
    if not key.anchor and key.column not in walker.see.known:
        codes = np.where(walker.unseen, -1, codes)
    return np.where(rows >= 0, codes, -1)
