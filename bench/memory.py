"""Measure seconds and peak memory from CSV files to ready to train, beside the project's bars.

The large size is the real H&M data's: 32 million transactions. Making it takes minutes and some 10 GB of disk, given
back at the end. The other size aims at 2 million and ends at 1.9. Nothing is asserted; each figure stands beside its
bar.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import data
from measure import load, machine, run_phase, versions

RESULTS = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True, kw_only=True)
class Bar:
    """What a size must stay under: GiB at the peak, and wall seconds if that matters."""

    size: str
    gib: float
    seconds: float | None = None


BARS = {"reference": Bar(size="reference", gib=2, seconds=30), "large": Bar(size="large", gib=8)}


def main() -> None:
    """Parse the command line, measure, report."""
    p = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    p.add_argument("--size", choices=[*BARS, "both"], default="both", help="some 1.9 and 32 million transactions")
    p.add_argument("--kind", choices=("csv", "parquet"), default="csv", help="files to start from")
    p.add_argument("--keep", action="store_true", help="keep the data for the next run")
    p.add_argument("--output", type=Path, help="JSON file; bench/results/memory-<start>.json if not given")
    a = p.parse_args()
    started = dt.datetime.now(dt.UTC).replace(microsecond=0)
    result: dict[str, Any] = {
        "started": started.isoformat(),
        "machine": machine(),
        "versions": versions(),
        "kind": a.kind,
        "sizes": {},
    }
    for name in BARS if a.size == "both" else [a.size]:
        result["sizes"][name] = _measure(BARS[name], a.kind, keep=a.keep)
        print("\n".join(_show(BARS[name], a.kind, result["sizes"][name])), flush=True)
    result["load_after"] = load()
    path = a.output or RESULTS / f"memory-{started:%Y%m%d-%H%M%S}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1))
    print(f"all figures: {path}")


def _measure(bar: Bar, kind: str, *, keep: bool) -> dict[str, Any]:
    print(f"... making the data of size {bar.size}", file=sys.stderr, flush=True)
    made = data.make(bar.size)
    home = made.folder / "home-memory"
    shutil.rmtree(home, ignore_errors=True)
    try:
        print(f"... {kind} to ready", file=sys.stderr, flush=True)
        figures = run_phase("ours.to_ready", threads=2, project=str(made.project(kind)), home=str(home))
        return {**figures, "rows": made.rows, "source_bytes": made.size_bytes(kind)}
    finally:
        shutil.rmtree(home, ignore_errors=True)
        if bar.size == "large" and not keep:
            data.remove(made)


def _show(bar: Bar, kind: str, r: dict[str, Any]) -> list[str]:
    seconds, peak = r["total"]["wall"], r["process_peak_gib"]
    limit = "" if bar.seconds is None else f" (bar {bar.seconds:.0f} s, {_verdict(seconds, bar.seconds)})"
    lines = [
        f"{bar.size}: {r['rows']['transactions']:,} transactions from {r['source_bytes'] / 1e9:.2f} GB of {kind}",
        f"    {seconds:.1f} s wall, {r['total']['cpu']:.1f} s CPU{limit}",
        f"    {peak:.2f} GiB at the peak, {r['start_up']['gib']:.2f} of it there at the start"
        f" (bar {bar.gib:g} GiB, {_verdict(peak, bar.gib)})",
        f"    graph store {r['store_bytes'] / 1e9:.2f} GB, {r['bytes_per_fact']['total']:.1f} bytes per transaction",
    ]
    for name, lap in r["laps"].items():
        if lap["wall"] > 0.02 * seconds:
            lines.append(f"    {name:<50}{lap['wall']:8.2f} s {lap['peak_gib']:8.2f} GiB so far")
    return lines


def _verdict(value: float, bar: float) -> str:
    return "within" if value < bar else "missed"


if __name__ == "__main__":
    main()
