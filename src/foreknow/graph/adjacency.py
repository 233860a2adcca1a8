"""Links between rows, as arrays: forward (a row's parent) and backward (a row's children, oldest first).

Rows of a table are sorted by time, so a row's children in ascending row id are its children in time order, and
"visible at the seed time" is "row id below a cut-off".
"""

from __future__ import annotations

import numba
import numpy as np

from foreknow.types import NO_ROW

__all__ = ["build_reverse"]


@numba.njit(cache=True, nogil=True)
def _fill(parent: np.ndarray, pointer: np.ndarray, child: np.ndarray) -> None:
    """Counting sort of child rows by parent; stable, so children stay in ascending order."""
    position = pointer[:-1].copy()
    for row in range(parent.shape[0]):
        p = parent[row]
        if p >= 0:
            child[position[p]] = row
            position[p] += 1


def build_reverse(parent: np.ndarray, num_parents: int) -> tuple[np.ndarray, np.ndarray]:
    """Turn a foreign-key column into the compressed lists of every parent's children.

    Args:
        parent: Parent row of each child row, `NO_ROW` if none. Shape ``(E,)``, int32.
        num_parents: Rows of the parent table.

    Returns:
        ``pointer``, shape ``(num_parents + 1,)``, int64, and ``child``, shape ``(number of links,)``, int32:
        the children of row ``p`` are ``child[pointer[p]:pointer[p + 1]]``, ascending.
    """
    linked = parent[parent != NO_ROW]
    pointer = np.zeros(num_parents + 1, np.int64)
    np.cumsum(np.bincount(linked, minlength=num_parents), out=pointer[1:])
    child = np.empty(int(pointer[-1]), np.int32)
    _fill(parent, pointer, child)
    return pointer, child
