"""Run a phase in a process of its own and measure it there: wall and CPU seconds, peak memory.

A phase is a function of one of the modules beside this file that takes plain values and returns plain values. The
process it runs in imports ``foreknow`` first: that tells OpenMP to let idle threads sleep, without which any small
operation on two threads may take up to 80 times longer on a busy machine. It also tells the C allocator to keep freed
memory, as Foreknow's training does. The peer gets both, though its users have to know of them.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("foreknow", "torch", "numpy", "numba", "duckdb", "pyarrow", "pandas", "torch-geometric", "pytorch-frame")
GIB = 1 << 30


class Laps:
    """Seconds between calls, by name: ``{"wall": ..., "cpu": ...}``, with the peak memory so far."""

    def __init__(self) -> None:
        self.laps: dict[str, dict[str, float]] = {}
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def lap(self, name: str) -> None:
        """What took place since the last call goes under this name."""
        wall, cpu = time.perf_counter(), time.process_time()
        spent = self.laps.setdefault(name, {"wall": 0.0, "cpu": 0.0})
        spent["wall"] += wall - self._wall
        spent["cpu"] += cpu - self._cpu
        spent["peak_gib"] = peak_bytes() / GIB
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    @property
    def total(self) -> dict[str, float]:
        """Sum over all laps."""
        return {clock: sum(spent[clock] for spent in self.laps.values()) for clock in ("wall", "cpu")}


def peak_bytes() -> int:
    """The most memory this process has held, its mapped files included."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):  # unlike ru_maxrss, it forgets the process this one was started from
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def start_up() -> dict[str, float]:
    """What the process has spent so far: on imports, if nothing else was done yet."""
    return {"cpu": time.process_time(), "gib": peak_bytes() / GIB}


def run_phase(phase: str, *, threads: int, **arguments: Any) -> dict[str, Any]:
    """Run ``module.function(**arguments)`` in a fresh process on so many threads and return its result.

    Raises:
        RuntimeError: The process failed; its last lines are in the message.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONWARNINGS": "ignore"}
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        command = [sys.executable, __file__, phase, json.dumps(arguments), str(answer)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode or not answer.exists():
            last = "\n".join(done.stderr.splitlines()[-15:])
            raise RuntimeError(f"phase {phase} failed (exit status {done.returncode}):\n{last}")
        result: dict[str, Any] = json.loads(answer.read_text())
    return result


def machine() -> dict[str, Any]:
    """What the figures were taken on, and how busy it was."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB, 1),
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "load": load(),
    }


def load() -> list[float]:
    """Load averages over 1, 5 and 15 minutes."""
    return [round(x, 2) for x in os.getloadavg()]


def versions() -> dict[str, str | None]:
    """Versions of all packages that matter; None where one is missing."""
    found: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _main() -> None:
    phase, arguments, answer = sys.argv[1:]
    import foreknow  # noqa: F401 - before torch, see above
    from foreknow.nn.memory import keep_freed_memory

    keep_freed_memory()
    module, _, function = phase.partition(".")
    result = getattr(importlib.import_module(module), function)(**json.loads(arguments))
    result["process_peak_gib"] = peak_bytes() / GIB
    Path(answer).write_text(json.dumps(result))


if __name__ == "__main__":
    _main()
