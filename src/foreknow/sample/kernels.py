"""The sampling kernels, compiled with numba. Single-threaded and without the GIL: parallelism is over batches.

``reference.py`` holds the same in plain Python, as the tests' oracle; keep the two in step.

Random numbers are counter-based (splitmix64 over a key): which children a row gets depends on the sampling seed, the
epoch, the set, the row and the seed time, and on nothing else. So a batch is the same whatever the number of threads
and whoever else is in it, and rows added after the seed time change nothing.
"""

from __future__ import annotations

import numba
import numpy as np

__all__ = ["child_ranges", "draw_children", "mix", "parent_rows", "unique_pairs", "window_counts"]

_jit = numba.njit(cache=True, nogil=True)

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S32 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(32)
SELECT_FACTOR = 8  # up to this many times the fan-out, walk the range; beyond it, draw by Floyd's method


@numba.njit(cache=True, nogil=True, inline="always")
def mix(x: np.uint64) -> np.uint64:
    """One splitmix64 step: a well-mixed 64-bit value (Steele et al. 2014)."""
    x = x + _GOLDEN
    x = (x ^ (x >> _S30)) * _M1
    x = (x ^ (x >> _S27)) * _M2
    return x ^ (x >> _S31)


@numba.njit(cache=True, nogil=True, inline="always")
def _lower_bound(values: np.ndarray, low: int, high: int, limit: int) -> int:
    """First position in ``[low, high)`` whose value is not below `limit`."""
    while low < high:
        middle = (low + high) >> 1
        if values[middle] < limit:
            low = middle + 1
        else:
            high = middle
    return low


@_jit
def child_ranges(
    pointer: np.ndarray,
    child: np.ndarray,
    ids: np.ndarray,
    slot: np.ndarray,
    cut: np.ndarray,
    fan_out: int,
    low: np.ndarray,
    degree: np.ndarray,
    offsets: np.ndarray,
) -> None:
    """Find each row's visible children: ``degree`` of them from position ``low`` on; lay out what is drawn.

    A child is visible if its row id is below ``cut`` of the row's slot. ``offsets`` becomes the running sum of
    ``min(degree, fan_out)``.
    """
    total = 0
    offsets[0] = 0
    for i in range(ids.shape[0]):
        begin = pointer[ids[i]]
        end = _lower_bound(child, begin, pointer[ids[i] + 1], cut[slot[i]])
        low[i] = begin
        degree[i] = end - begin
        total += end - begin if fan_out < 0 or end - begin < fan_out else fan_out
        offsets[i + 1] = total


@_jit
def draw_children(
    child: np.ndarray,
    low: np.ndarray,
    degree: np.ndarray,
    offsets: np.ndarray,
    key: np.ndarray,
    last: bool,
    out: np.ndarray,
    owner: np.ndarray,
) -> None:
    """Draw children without replacement, in ascending (time) order.

    Args:
        child: All children lists.
        low: Where each row's list begins.
        degree: How many of it are visible.
        offsets: Where each row's draw goes; its length is how many are drawn.
        key: Random key of each row, uint64.
        last: Take the latest ones instead of a uniform draw.
        out: Receives row ids of children.
        owner: Receives the position of the row each child belongs to.
    """
    for i in range(degree.shape[0]):
        begin, d = offsets[i], np.int64(degree[i])
        num = offsets[i + 1] - begin
        for j in range(num):
            owner[begin + j] = i
        if num == d or last:
            start = low[i] + d - num
            for j in range(num):
                out[begin + j] = child[start + j]
            continue
        state = key[i]
        if d <= SELECT_FACTOR * num:  # selection sampling (Knuth 3.4.2 S): one pass, keeps the order
            need, at = num, begin
            for j in range(d):
                state = mix(state)
                if ((state >> _S32) * np.uint64(d - j)) >> _S32 < np.uint64(need):
                    out[at] = child[low[i] + j]
                    at += 1
                    need -= 1
                    if need == 0:
                        break
        else:  # Floyd's method into a sorted list: cost depends on the draw, not on the degree
            for size in range(num):
                j = d - num + size
                state = mix(state)
                pick = np.int64(((state >> _S32) * np.uint64(j + 1)) >> _S32)
                place = begin
                stop = begin + size
                while place < stop:
                    middle = (place + stop) >> 1
                    if out[middle] < pick:
                        place = middle + 1
                    else:
                        stop = middle
                if place < begin + size and out[place] == pick:
                    out[begin + size] = j  # j is larger than everything drawn so far
                else:
                    for q in range(begin + size, place, -1):
                        out[q] = out[q - 1]
                    out[place] = pick
            for j in range(begin, begin + num):
                out[j] = child[low[i] + out[j]]


@_jit
def parent_rows(parent: np.ndarray, ids: np.ndarray, slot: np.ndarray, cut: np.ndarray, out: np.ndarray) -> None:
    """Look up each row's parent; -1 if it has none or the parent is not visible yet."""
    for i in range(ids.shape[0]):
        p = parent[ids[i]]
        out[i] = p if p >= 0 and p < cut[slot[i]] else -1


@_jit
def unique_pairs(
    ids: np.ndarray, slot: np.ndarray, out_ids: np.ndarray, out_slot: np.ndarray, position: np.ndarray
) -> int:
    """Keep each distinct (row, slot) once, in order of first occurrence; rows below 0 are left out.

    ``position`` tells where each input went, -1 if nowhere. Returns how many there are. Open addressing: no state
    between calls, so batches can be drawn side by side.
    """
    n = ids.shape[0]
    size = 16
    while size < 2 * n:
        size *= 2
    table = np.full(size, -1, np.int32)
    mask = np.uint64(size - 1)
    count = 0
    for i in range(n):
        if ids[i] < 0:
            position[i] = -1
            continue
        h = np.int64(mix(np.uint64(ids[i]) ^ (np.uint64(slot[i]) << _S32)) & mask)
        while True:
            at = table[h]
            if at < 0:
                table[h] = count
                out_ids[count] = ids[i]
                out_slot[count] = slot[i]
                position[i] = count
                count += 1
                break
            if out_ids[at] == ids[i] and out_slot[at] == slot[i]:
                position[i] = at
                break
            h = (h + 1) & np.int64(mask)
    return count


@_jit
def window_counts(
    child: np.ndarray,
    low: np.ndarray,
    degree: np.ndarray,
    slot: np.ndarray,
    cut_before: np.ndarray,
    out: np.ndarray,
) -> None:
    """Count visible children newer than each window's start: those at or after ``cut_before[w, slot]``."""
    for i in range(degree.shape[0]):
        begin, end = low[i], low[i] + np.int64(degree[i])
        for w in range(cut_before.shape[0]):
            out[i, w] = end - _lower_bound(child, begin, end, cut_before[w, slot[i]])
