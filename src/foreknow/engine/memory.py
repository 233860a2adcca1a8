"""Memory that ran out: seen and named, with what to lower."""

from __future__ import annotations

import re
from pathlib import Path

from foreknow.errors import ForeknowError, ResourceError

__all__ = ["LOWER", "explain_shortage", "killed_for_memory", "oom_kills"]

LOWER = "lower batch_size, num_neighbors or channels; the job's log says how far it came"

_WORDS = re.compile(r"out of memory|can't allocate memory|cannot allocate memory|unable to allocate", re.IGNORECASE)


def explain_shortage(error: BaseException) -> ForeknowError | None:
    """The error a person is told if this one means that memory ran out; None if it means something else."""
    if isinstance(error, ResourceError):
        return error
    if isinstance(error, ForeknowError):
        return None
    is_shortage = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    if not is_shortage and not _WORDS.search(str(error)):
        return None
    first = (str(error) or type(error).__name__).splitlines()[0]
    where = "the GPU" if "CUDA" in first else "this machine"
    return ResourceError(f"out of memory on {where}: {first[:300]}", hint=LOWER)


def oom_kills() -> int:
    """How many processes the system has killed for lack of memory, here and now; 0 where it doesn't tell."""
    count = 0
    for path, word in ((Path("/sys/fs/cgroup/memory.events"), "oom_kill"), (Path("/proc/vmstat"), "oom_kill")):
        try:
            lines = path.read_text().splitlines()
        except OSError:
            continue
        count = max([count, *(int(line.split()[1]) for line in lines if line.split()[0] == word)])
    return count


def killed_for_memory(code: int | None, kills_before: int) -> bool:
    """Whether a worker that ended so was killed by the system for lack of memory."""
    return code in (-9, 137) and oom_kills() > kills_before
