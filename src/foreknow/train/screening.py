"""Screening: how much each of thousands of features says about the target on its own, in one cheap pass.

Trees on thousands of columns are slow to grow; trees on the few hundred that say something alone are not.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np

__all__ = ["explained_share"]

BINS = 16
BLOCK = 64  # features a thread takes at a time


def explained_share(x: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Share of the target's variance explained by the means over each feature's quantile bins, less what chance gives.

    A missing value is a bin of its own. Constant features explain nothing.

    Args:
        x: Features, NaN where missing. Shape ``(N, F)``, float32.
        target: One column or several, no NaN. Shape ``(N, K)``.

    Returns:
        The largest share over the target's columns, 0 at least. Shape ``(F,)``.
    """
    t = target - target.mean(axis=0)
    deviation = t.std(axis=0)
    t = np.ascontiguousarray(t[:, deviation > 0] / deviation[deviation > 0])
    out = np.zeros(x.shape[1])
    if not t.size:
        return out
    blocks = [slice(i, i + BLOCK) for i in range(0, x.shape[1], BLOCK)]

    def run(block: slice) -> None:
        columns = np.ascontiguousarray(x[:, block].T)
        found = np.zeros(len(columns))
        _explained(columns, t, found)
        out[block] = found

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1), thread_name_prefix="screening") as pool:
        list(pool.map(run, blocks))
    return out


@numba.njit(cache=True, nogil=True)
def _explained(columns: np.ndarray, target: np.ndarray, out: np.ndarray) -> None:
    n, num_targets = target.shape
    edges = np.empty(BINS - 1, np.float32)
    total = np.empty((BINS + 1, num_targets))
    count = np.empty(BINS + 1, np.int64)
    for j in range(columns.shape[0]):
        column = columns[j]
        known = column[~np.isnan(column)]
        if known.shape[0] == 0:
            continue
        known = np.sort(known[:: max(1, known.shape[0] // 4000)])
        num_edges = 0
        for b in range(1, BINS):
            edge = known[b * known.shape[0] // BINS]
            if edge > known[0] and (num_edges == 0 or edge > edges[num_edges - 1]):
                edges[num_edges] = edge
                num_edges += 1
        total[:] = 0.0
        count[:] = 0
        for i in range(n):
            v = column[i]
            b = BINS
            if not np.isnan(v):
                b = 0
                while b < num_edges and v >= edges[b]:
                    b += 1
            count[b] += 1
            for k in range(num_targets):
                total[b, k] += target[i, k]
        used = 0
        for b in range(BINS + 1):
            used += count[b] > 0
        if used < 2:
            continue
        for k in range(num_targets):
            between = 0.0
            for b in range(BINS + 1):
                if count[b] > 0:
                    between += total[b, k] ** 2 / count[b]
            out[j] = max(out[j], (between - (used - 1)) / n)
