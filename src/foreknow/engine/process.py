"""Processes told apart for certain: numbers are used again, clocks jump, machines boot."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

__all__ = ["Process", "find_process", "is_alive", "signal_group", "uptime_s"]

_PROC = Path("/proc/self/stat")


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process. ``start`` is in the system's own count (seconds since boot on Linux), not in the clock's."""

    pid: int
    start: float
    boot: str


def find_process(pid: int) -> Process | None:
    """The living process of a number; None if there is none. One that has ended but isn't waited for is none."""
    try:
        if _PROC.exists():
            state, start = _linux_stat(pid)
            return None if state in "ZX" else Process(pid=pid, start=start, boot=_boot())
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return Process(pid=pid, start=process.create_time(), boot=_boot())
    except (OSError, psutil.Error):
        return None


def is_alive(process: Process) -> bool:
    """Whether that very process still runs."""
    found = find_process(process.pid)
    return found is not None and found.boot == process.boot and abs(found.start - process.start) < 0.05


def uptime_s(process: Process) -> float:
    """Seconds a living process has been running, whatever the clock was set to meanwhile."""
    now = time.clock_gettime(time.CLOCK_BOOTTIME) if _PROC.exists() else time.time()
    return now - process.start


def signal_group(process: Process, number: signal.Signals) -> None:
    """Signal a process that leads a session of its own, and all of that; nothing if it is gone."""
    if is_alive(process):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)


def _linux_stat(pid: int) -> tuple[str, float]:
    """State letter, and start in seconds since boot. The name in brackets may hold anything, brackets too."""
    text = Path(f"/proc/{pid}/stat").read_text()
    parts = text.rpartition(")")[2].split()
    return parts[0], int(parts[19]) / os.sysconf("SC_CLK_TCK")


@cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return str(round(psutil.boot_time()))
