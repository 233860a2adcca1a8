"""The C allocator, told to keep memory a training step gives back: the next step wants it again."""

from __future__ import annotations

import ctypes
import sys

__all__ = ["keep_freed_memory"]

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # numbers of mallopt(3)
_MMAP_ABOVE = 32 << 20  # the largest value glibc takes
_TRIM_ABOVE = 1 << 30


def keep_freed_memory() -> bool:
    """Serve blocks of up to 32 MiB from the heap, and keep up to 1 GiB of it when freed.

    By default glibc maps and unmaps every block of a step's activations anew, and the kernel clears their pages each
    time: 10-30% of a step on a CPU. Does nothing (and returns False) where the allocator is not glibc's.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _MMAP_ABOVE)) and bool(mallopt(_M_TRIM_THRESHOLD, _TRIM_ABOVE))
