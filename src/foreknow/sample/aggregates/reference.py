"""The aggregation kernels in plain NumPy, one query at a time: the oracle of their tests. Not for use otherwise."""

from __future__ import annotations

import numpy as np

from foreknow.sample.aggregates.kernel import CHANGE, DECAY, EWM, LAST, MAX, MEAN, MIN, ROWS, STD, SUM

__all__ = ["aggregate_reference", "sibling_means_reference"]


def aggregate_reference(
    values: np.ndarray, start: np.ndarray, stop: np.ndarray, low: np.ndarray, recipes: np.ndarray
) -> np.ndarray:
    """What ``kernel.aggregate`` writes to ``out``."""
    out = np.full((len(start), len(recipes)), np.nan)
    for q in range(len(start)):
        if start[q] < 0:
            continue
        for s, (kind, a, b) in enumerate(recipes):
            out[q, s] = _statistic(values, int(start[q]), int(stop[q]), low[q], int(kind), int(a), int(b))
    return out


def _statistic(values: np.ndarray, start: int, stop: int, low: np.ndarray, kind: int, a: int, b: int) -> float:
    def known(begin: int) -> np.ndarray:
        part = values[begin:stop].astype(np.float64)
        return part[~np.isnan(part)]

    if kind == LAST:
        return float(values[stop - 1 - b]) if stop - start > b else np.nan
    if kind == ROWS:
        return float(stop - low[a])
    if kind == EWM:
        part = values[start:stop].astype(np.float64)
        weight = DECAY ** np.arange(len(part))[::-1]
        has = ~np.isnan(part)
        return float(np.average(part[has], weights=weight[has])) if has.any() else np.nan
    x = known(int(low[a]))
    if kind == SUM:
        return float(x.sum())
    if not len(x) or (kind == STD and len(x) < 2):
        return np.nan
    if kind == CHANGE:
        other = known(int(low[b]))
        return float(x.mean() - other.mean()) if len(other) else np.nan
    return float({MEAN: x.mean(), STD: x.std(), MIN: x.min(), MAX: x.max()}[kind])


def sibling_means_reference(
    group: np.ndarray, time: np.ndarray | None, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What ``kernel.sibling_means`` writes, from each row's group (-1: none, left NaN) and time."""
    mean, number = np.full(len(group), np.nan), np.full(len(group), np.nan)
    for i, g in enumerate(group):
        if g < 0:
            continue
        others = (group == g) & (np.arange(len(group)) != i)
        if time is not None:
            others &= time <= time[i]
        number[i] = others.sum()
        x = values[others]
        x = x[~np.isnan(x)]
        mean[i] = x.mean() if len(x) else np.nan
    return mean, number
