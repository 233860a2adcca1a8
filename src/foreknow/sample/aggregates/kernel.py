"""The aggregation kernels, compiled with numba: one pass over the rows of each group, without the GIL.

``reference.py`` holds the same in plain NumPy, as the tests' oracle; keep the two in step.

Rows stand in groups, each in the order they became known. A query asks for statistics of the rows
``[low, stop)`` of its group, for several ``low``. Sums run from the group's first row to the query's last one and no
further, so rows that became known after it change no bit of the answer.
"""

from __future__ import annotations

import numba
import numpy as np

__all__ = [
    "CHANGE",
    "DECAY",
    "EWM",
    "LAST",
    "MAX",
    "MEAN",
    "MIN",
    "ROWS",
    "STD",
    "SUM",
    "aggregate",
    "first_seen",
    "locate",
    "previous_gap",
    "sibling_means",
]

_jit = numba.njit(cache=True, nogil=True)

ROWS, MEAN, SUM, STD, MIN, MAX, LAST, EWM, CHANGE = range(9)
DECAY = 0.5 ** (1 / 5)
"""Weight a value loses with each later row in the exponentially weighted mean: half of it in five rows."""


@_jit
def locate(
    pointer: np.ndarray, time: np.ndarray, anchor: np.ndarray, limit: np.ndarray, start: np.ndarray, stop: np.ndarray
) -> None:
    """Where each anchor's rows with ``time <= limit`` stand: ``[start, stop)``; both -1 for an anchor of -1."""
    for i in range(anchor.shape[0]):
        a = anchor[i]
        if a < 0:
            start[i] = -1
            stop[i] = -1
            continue
        low, high = pointer[a], pointer[a + 1]
        start[i] = low
        while low < high:
            middle = (low + high) >> 1
            if time[middle] <= limit[i]:
                low = middle + 1
            else:
                high = middle
        stop[i] = low


@_jit
def aggregate(
    values: np.ndarray,
    order: np.ndarray,
    start: np.ndarray,
    stop: np.ndarray,
    low: np.ndarray,
    recipes: np.ndarray,
    out: np.ndarray,
) -> None:
    """Statistics of ranges of rows, group by group.

    Args:
        values: One value per row, NaN if missing; a group's rows stand together in the order they became known.
        order: The queries sorted by ``(start, stop)``. Shape ``(B,)``.
        start: First row of each query's group; -1 asks for nothing. Shape ``(B,)``.
        stop: One past the last row each query sees. Shape ``(B,)``.
        low: First row of each range, by query. Range 0 begins at ``start``. Shape ``(B, R)``.
        recipes: What to compute: ``(statistic, range, other)``. ``other`` is the second range of `CHANGE`, how many
            rows before the last one for `LAST`. Shape ``(S, 3)``.
        out: The answers; NaN where there is none (a mean of nothing, any statistic of no group). Shape ``(B, S)``.
    """
    longest = 0
    for q in range(start.shape[0]):
        longest = max(longest, stop[q] - start[q])
    total = np.zeros(longest + 1)
    square = np.zeros(longest + 1)
    count = np.zeros(longest + 1, np.int64)
    least = np.full(longest + 1, np.nan)
    most = np.full(longest + 1, np.nan)
    smooth = np.full(longest + 1, np.nan)
    group = np.int64(-2)
    filled = np.int64(0)
    centre = 0.0
    numerator = 0.0
    weight = 0.0
    for i in range(order.shape[0]):
        q = order[i]
        first = start[q]
        if first < 0:
            for s in range(recipes.shape[0]):
                out[q, s] = np.nan
            continue
        if first != group:
            group, filled, centre, numerator, weight = first, np.int64(0), 0.0, 0.0, 0.0
        n = stop[q] - first
        while filled < n:
            x = np.float64(values[first + filled])
            numerator *= DECAY
            weight *= DECAY
            at = filled + 1
            if np.isnan(x):
                total[at], square[at], count[at] = total[filled], square[filled], count[filled]
                least[at], most[at], smooth[at] = least[filled], most[filled], smooth[filled]
            else:
                if count[filled] == 0:
                    centre = x  # sums of differences from it keep their digits
                    least[at], most[at] = x, x
                else:
                    least[at], most[at] = min(least[filled], x), max(most[filled], x)
                d = x - centre
                total[at], square[at], count[at] = total[filled] + d, square[filled] + d * d, count[filled] + 1
                numerator += x
                weight += 1.0
                smooth[at] = numerator / weight
            filled = at
        for s in range(recipes.shape[0]):
            kind, a, b = recipes[s, 0], recipes[s, 1], recipes[s, 2]
            lo = low[q, a] - first if kind != LAST else 0
            if kind == ROWS:
                out[q, s] = n - lo
            elif kind == LAST:
                out[q, s] = values[first + n - 1 - b] if n > b else np.nan
            elif kind == EWM:
                out[q, s] = smooth[n]
            elif kind in (MIN, MAX) and lo == 0:
                out[q, s] = least[n] if kind == MIN else most[n]
            elif kind in (MIN, MAX):
                best = np.nan
                for j in range(first + lo, first + n):
                    x = np.float64(values[j])
                    if np.isnan(x):
                        continue
                    if np.isnan(best) or (kind == MIN and x < best) or (kind == MAX and x > best):
                        best = x
                out[q, s] = best
            else:
                m = count[n] - count[lo]
                d = total[n] - total[lo]
                if kind == SUM:
                    out[q, s] = d + m * centre
                elif m == 0:
                    out[q, s] = np.nan
                elif kind == MEAN:
                    out[q, s] = centre + d / m
                elif kind == STD:
                    if m < 2:
                        out[q, s] = np.nan
                    else:
                        out[q, s] = np.sqrt(max((square[n] - square[lo]) / m - (d / m) ** 2, 0.0))
                else:  # CHANGE
                    other = low[q, b] - first
                    k = count[n] - count[other]
                    out[q, s] = np.nan if k == 0 else d / m - (total[n] - total[other]) / k


@_jit
def previous_gap(pointer: np.ndarray, time: np.ndarray, out: np.ndarray) -> None:
    """Seconds since the group's previous distinct time; NaN for its first time and for further rows of one time."""
    for g in range(pointer.shape[0] - 1):
        for i in range(pointer[g], pointer[g + 1]):
            if i == pointer[g] or time[i] == time[i - 1]:
                out[i] = np.nan
            else:
                out[i] = time[i] - time[i - 1]


@_jit
def first_seen(pointer: np.ndarray, key: np.ndarray, num_keys: int, out: np.ndarray) -> None:
    """1 where a key occurs in its group for the first time, 0 where again, NaN where it is missing (negative)."""
    seen = np.full(num_keys, -1, np.int64)
    for g in range(pointer.shape[0] - 1):
        for i in range(pointer[g], pointer[g + 1]):
            k = key[i]
            if k < 0:
                out[i] = np.nan
            elif seen[k] == g:
                out[i] = 0.0
            else:
                seen[k] = g
                out[i] = 1.0


@_jit
def sibling_means(
    pointer: np.ndarray, rows: np.ndarray, time: np.ndarray, values: np.ndarray, mean: np.ndarray, number: np.ndarray
) -> None:
    """For each row: mean of `values` over the other rows of its group known when it was, and how many they are.

    Args:
        pointer: Where each group's rows stand.
        rows: Row ids, in the order they became known. ``mean`` and ``number`` are by row id.
        time: When each became known; empty if that is unknown, and all count.
        values: By row id, NaN if missing.
        mean: NaN if no other row has a value.
        number: Rows, whether they have a value or not.
    """
    for g in range(pointer.shape[0] - 1):
        begin, end = pointer[g], pointer[g + 1]
        total, count = 0.0, 0
        i = begin
        while i < end:
            j = i  # rows of one time know each other
            while j < end and (time.shape[0] == 0 or time[j] == time[i]):
                x = np.float64(values[rows[j]])
                if not np.isnan(x):
                    total += x
                    count += 1
                j += 1
            for k in range(i, j):
                x = np.float64(values[rows[k]])
                has = not np.isnan(x)
                n = count - 1 if has else count
                mean[rows[k]] = ((total - x if has else total) / n) if n > 0 else np.nan
                number[rows[k]] = j - begin - 1
            i = j
