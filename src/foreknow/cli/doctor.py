"""``foreknow doctor``: is this machine ready, and what to do if not."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import typer
from rich.markup import escape

from foreknow.cli.console import JsonOption, out, print_json

PACKAGES = (
    "foreknow",
    "torch",
    "mlflow",
    "duckdb",
    "pyarrow",
    "numpy",
    "numba",
    "lightgbm",
    "scikit-learn",
    "pygraphviz",
)
MIN_FREE_GIB = 5.0


def doctor(json: JsonOption = False) -> None:
    """Check this machine, and say what to mend.

    Python, packages, memory, disk, the sampler, diagrams and MLflow's port.
    The exit status is 1 if something needs mending.

    [bold]Examples[/bold]

      foreknow doctor
      foreknow doctor --json
    """
    checks: list[dict[str, str]] = []

    def check(name: str, ok: bool, found: str, hint: str = "") -> None:
        checks.append({"check": name, "ok": "yes" if ok else "NO", "found": found, "hint": "" if ok else hint})

    check("Python", sys.version_info >= (3, 11), platform.python_version(), "Foreknow needs Python 3.11 or newer")
    for package in PACKAGES:
        try:
            check(package, True, version(package))
        except PackageNotFoundError:
            check(package, False, "missing", "pip install foreknow")
    import psutil

    memory = psutil.virtual_memory()
    check("memory", memory.total > 4 << 30, f"{memory.total / 2**30:.1f} GiB", "4 GiB are needed, 8 are better")
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    check("disk", free > MIN_FREE_GIB, f"{free:.1f} GiB free here", f"{MIN_FREE_GIB:.0f} GiB leave room for snapshots")
    check("cores", True, f"{os.cpu_count()}")
    _try(check, "GPU (optional)", _gpu, "CPU is fine")
    _try(check, "sampler", _sampler, "numba can't compile; reinstall numba")
    _try(check, "diagrams", _diagram, "reinstall pygraphviz; its wheels carry Graphviz")
    _try(check, "port for MLflow", _port, "ports 5000 to 5199 are all taken")
    good = all(c["ok"] == "yes" for c in checks)
    if json:
        print_json({"ok": good, "checks": checks})
    else:
        for c in checks:
            mark = "[green]ok[/] " if c["ok"] == "yes" else "[red]NO[/] "
            out.print(f"{mark} {c['check']:<16} {escape(c['found'])}", soft_wrap=True)
            if c["hint"]:
                out.print(f"    [dim]Hint: {c['hint']}[/]", soft_wrap=True)
        out.print("[green]ready: foreknow demo[/]" if good else "[red]see the hints above[/]")
    if not good:
        raise typer.Exit(1)


def _try(check: object, name: str, probe: object, hint: str) -> None:
    """Run a probe; whatever it raises is the finding."""
    try:
        check(name, True, probe())  # type: ignore[operator]
    except Exception as e:  # a broken installation can fail in any way; saying how is the point
        check(name, False, f"{type(e).__name__}: {e}", hint)  # type: ignore[operator]


def _gpu() -> str:
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none, using the CPU"


def _sampler() -> str:
    import numpy as np

    from foreknow.graph.adjacency import build_reverse

    pointer, child = build_reverse(np.array([1, 0, 1], np.int32), 2)
    assert pointer.tolist() == [0, 1, 3]
    assert child.tolist() == [1, 0, 2]
    return "compiles and runs"


def _diagram() -> str:
    from foreknow.schema.diagram import to_dot, to_svg
    from foreknow.schema.table import Schema, Table

    return f"{len(to_svg(to_dot(Schema({'t': Table(name='t', columns=())}))))} bytes drawn"


def _port() -> str:
    from foreknow.track.server import free_port

    return str(free_port(5000))
