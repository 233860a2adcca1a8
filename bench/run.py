"""Measure Foreknow against the peer a user would pick today, in one run on the same data.

Every phase runs in a process of its own. Prints a table and writes all figures to ``bench/results/``. It states
ratios and asserts nothing: see README.md beside this file for what they prove and what they don't.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib.util
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import data
from measure import load, machine, run_phase, versions
from report import ready_summary, render, step_summary

RESULTS = Path(__file__).resolve().parent / "results"
PARTS = ("ready", "sampler", "step", "accuracy")
SAMPLER_FAN_OUTS = [[128, 64], [64, 32], [16, 16]]
NUM_CURVE_POINTS = 5


def main() -> None:
    """Parse the command line, measure, report."""
    a = _arguments()
    with_peer = not a.no_peer
    if with_peer and not all(importlib.util.find_spec(m) for m in ("torch_geometric", "torch_frame", "pandas")):
        sys.exit("The peer is not installed: run `make bench`, pip install 'foreknow[bench]', or give --no-peer.")
    started = dt.datetime.now(dt.UTC).replace(microsecond=0)
    result: dict[str, Any] = {
        "started": started.isoformat(),
        "settings": {k: v for k, v in vars(a).items() if k != "output"},
        "machine": machine(),
        "versions": versions(),
    }
    _say("making the data")
    made = data.make(a.size, a.transactions, seed=a.seed)
    result["rows"] = made.rows
    bench = _Bench(a, made, with_peer)
    _say("compiling kernels, if they aren't yet")
    bench.warm_up()
    bench.ready(result, measure="ready" in a.parts)
    if "sampler" in a.parts:
        bench.sampler(result)
    if "step" in a.parts:
        bench.steps(result)
    if "accuracy" in a.parts:
        bench.accuracy(result)
    result["load_after"] = load()
    path = a.output or RESULTS / f"{started:%Y%m%d-%H%M%S}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1))
    print(render(result))
    print(f"all figures: {path}")


class _Bench:
    """The phases of one run."""

    def __init__(self, a: argparse.Namespace, made: data.Data, with_peer: bool) -> None:
        self.a, self.data, self.with_peer = a, made, with_peer
        self.home, self.cache = str(made.folder / "home"), made.folder / "peer.pt"
        self.ours = {"project": str(made.project("parquet")), "home": self.home}
        self.peer = {**self.ours, "cache": str(self.cache)}
        self.model = {
            "fan_out": a.fan_out,
            "strategy": a.strategy,
            "batch_size": a.batch_size,
            "channels": a.channels,
        }

    def warm_up(self) -> None:
        """Run everything once on a handful of rows."""
        tiny = data.make("small", 20_000, kinds=("parquet",))
        run_phase("ours.warm_up", threads=1, project=str(tiny.project("parquet")), home=str(tiny.folder / "home"))

    def ready(self, result: dict[str, Any], *, measure: bool) -> None:
        """From files to ready, afresh each round; what the last round leaves behind serves the later phases."""
        figures: dict[str, list[dict[str, Any]]] = {"csv": [], "parquet": [], "peer": []}
        for i in range(self.a.rounds if measure else 0):
            _say(f"files to ready: Foreknow, round {i + 1} of {self.a.rounds}")
            for kind in ("csv", "parquet"):
                shutil.rmtree(self.home, ignore_errors=True)
                project = str(self.data.project(kind))
                figures[kind].append(run_phase("ours.to_ready", threads=2, project=project, home=self.home))
            if self.with_peer:
                _say("files to ready: peer")
                figures["peer"].append(self._peer_ready())
        if self.with_peer and not self.cache.exists():
            _say("preparing the peer")
            self._peer_ready()
        if measure:
            rows = sum(self.data.rows[t] for t in data.TABLES)
            result["ready"] = {k: ready_summary(v, rows) for k, v in figures.items() if v}

    def _peer_ready(self) -> dict[str, Any]:
        return run_phase("peer.to_ready", threads=2, folder=str(self.data.folder), cache=str(self.cache))

    def sampler(self, result: dict[str, Any]) -> None:
        """Seeds per second."""
        _say("sampler: Foreknow")
        result["sampler"] = run_phase(
            "ours.sampler",
            threads=1,
            **self.ours,
            fan_outs=SAMPLER_FAN_OUTS,
            batch_size=self.a.batch_size,
            seconds=self.a.sampler_seconds,
        )

    def steps(self, result: dict[str, Any]) -> None:
        """Steps of both in turn, so that a busy spell hits both: CPU time on one thread, wall time on several."""
        a = self.a
        if self.with_peer:
            _say("checking that the peer learns")
            model = {k: v for k, v in self.model.items() if k != "strategy"}
            check = run_phase("peer_steps.check", threads=2, **self.peer, **model, steps=10)
            first, last = check["losses"][0], check["losses"][-1]
            if not last < first:  # NaN too
                sys.exit(f"The peer's model does not learn: its loss goes from {first} to {last} on one batch.")
            result["peer_check"] = check
        result["steps"] = []
        for threads in a.threads:
            clock = "cpu" if threads == 1 else "wall"
            rounds: dict[str, list[dict[str, Any]]] = {"ours": [], "peer": []}
            for i in range(a.rounds):
                _say(f"training steps on {threads} thread(s), round {i + 1} of {a.rounds}")
                rounds["ours"].append(run_phase("ours.step", threads=threads, **self.ours, **self.model, steps=a.steps))
                if self.with_peer:
                    phase = run_phase("peer_steps.step", threads=threads, **self.peer, **self.model, steps=a.peer_steps)
                    rounds["peer"].append(phase)
                    result["fed_by"] = phase["fed_by"]
            entry: dict[str, Any] = {"threads": threads, "clock": clock}
            for side, measured in rounds.items():
                if measured:
                    entry[side] = step_summary(measured, clock, a.batch_size)
                    entry[f"{side}_rows"] = measured[0]["rows_per_batch"]
            result["steps"].append(entry)

    def accuracy(self, result: dict[str, Any]) -> None:
        """Both trained for the same number of steps."""
        common = {**self.model, "steps": self.a.train_steps, "points": NUM_CURVE_POINTS}
        _say("training: Foreknow")
        result["accuracy"] = {"ours": run_phase("ours.accuracy", threads=1, **self.ours, **common)}
        if self.with_peer:
            _say(f"training: peer, {self.a.train_steps} steps of 2 s or so")
            result["accuracy"]["peer"] = run_phase("peer_steps.accuracy", threads=1, **self.peer, **common)


def _arguments() -> argparse.Namespace:
    whole = argparse.ArgumentDefaultsHelpFormatter
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0], formatter_class=whole)
    p.add_argument("--size", choices=list(data.SIZES), default="reference", help="of the made-up shop")
    p.add_argument(
        "--transactions", type=_positive, help="this many instead; customers and articles grow in proportion"
    )
    p.add_argument("--seed", type=int, default=0, help="of the data")
    p.add_argument(
        "--parts", type=_one_of(PARTS), default="ready,sampler,step", help="what to measure, comma-separated"
    )
    p.add_argument("--accuracy", action="store_true", help="also train both and compare ROC-AUC (10 minutes or more)")
    p.add_argument("--no-peer", action="store_true", help="measure Foreknow alone")
    p.add_argument("--fan-out", type=_numbers, default="128,64", help="neighbours per hop, two hops")
    p.add_argument("--strategy", choices=("uniform", "last"), default="uniform", help="which neighbours")
    p.add_argument("--batch-size", type=_positive, default=512, help="seeds per step")
    p.add_argument("--channels", type=_positive, default=128, help="width of both networks")
    p.add_argument("--threads", type=_numbers, default="1,2", help="1 is measured in CPU time, more in wall time")
    p.add_argument("--rounds", type=_positive, default=3, help="how often both take turns")
    p.add_argument("--steps", type=_positive, default=40, help="steps of Foreknow per round")
    p.add_argument("--peer-steps", type=_positive, default=4, help="steps of the peer per round")
    p.add_argument("--sampler-seconds", type=float, default=1.0, help="CPU seconds per sampler figure")
    p.add_argument("--train-steps", type=_positive, default=170, help="for --accuracy")
    p.add_argument("--output", type=Path, help="JSON file; bench/results/<start>.json if not given")
    a = p.parse_args()
    if len(a.fan_out) != 2:
        p.error("--fan-out takes two hops, such as 128,64: the peer is compared on customers, purchases, articles")
    if a.accuracy and "accuracy" not in a.parts:
        a.parts.append("accuracy")
    return a


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not positive")
    return value


def _numbers(text: str) -> list[int]:
    return [_positive(part) for part in text.split(",")]


def _one_of(known: tuple[str, ...]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        parts = text.split(",")
        wrong = [part for part in parts if part not in known]
        if wrong:
            raise argparse.ArgumentTypeError(f"{', '.join(wrong)}: choose of {', '.join(known)}")
        return parts

    return parse


def _say(text: str) -> None:
    print(f"... {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
