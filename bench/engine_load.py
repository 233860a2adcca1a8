"""Fifty clients at an engine that trains: submitting, polling and following logs; how long status calls take.

Each client is a thread of one process here, and speaks HTTP to an engine in a process of its own, which runs a real
training meanwhile. The bar: no error, and 95 of 100 status calls under 100 ms.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from foreknow.client.http import HTTPOperations
from foreknow.engine.engine import find_engine
from foreknow.testing.market_project import write_market

BAR_MS = 100.0


def main() -> None:
    p = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    p.add_argument("--clients", type=int, default=50)
    p.add_argument("--seconds", type=float, default=120.0)
    p.add_argument("--project", type=Path, help="project with a task to train; a small market if not given")
    p.add_argument("--task", default="Buys")
    p.add_argument("--epochs", type=int, default=100_000, help="of the training that runs meanwhile")
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = (a.project or write_market(Path(folder) / "market")).resolve()
        command = [sys.executable, "-m", "foreknow", "up", "--project", str(project), "--mlflow-port", "5490"]
        engine = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            address = _wait(project)
            result = _load(address, a)
        finally:
            engine.terminate()
            engine.wait(timeout=60)
    print(json.dumps(result, indent=1))


def _wait(project: Path) -> str:
    """Wait for the engine and its MLflow."""
    end = time.monotonic() + 240
    while time.monotonic() < end:
        record = find_engine(project / ".foreknow")
        if record is not None and record["address"]:
            connection = HTTPOperations(record["address"])
            try:
                if connection.health()["mlflow"]["is_ready"]:
                    return str(record["address"])
            except Exception:
                time.sleep(0.1)  # it is starting
            finally:
                connection.close()
        time.sleep(0.2)
    raise SystemExit("the engine doesn't come up")


def _load(address: str, a: argparse.Namespace) -> dict[str, Any]:
    boss = HTTPOperations(address)
    parameters = {"epochs": a.epochs, "patience": a.epochs, "eval_every": 50}
    training = boss.submit("train", {"task": a.task, "parameters": parameters}, priority=10)["id"]
    while "epoch" not in (boss.job(training)["progress"] or {}):
        time.sleep(0.2)
    taken: dict[str, list[float]] = {"status": [], "list": [], "submit": [], "cancel": []}
    errors: Counter[str] = Counter()
    stop = threading.Event()
    threads = [
        threading.Thread(target=_client, args=(address, a.task, training, n, taken, errors, stop))
        for n in range(a.clients)
    ]
    for t in threads:
        t.start()
    time.sleep(a.seconds)
    status = boss.job(training)["status"]
    stop.set()
    boss.cancel(training)
    for t in threads:
        t.join(60)
    p95 = _quantile(taken["status"], 0.95)
    return {
        "clients": a.clients,
        "seconds": a.seconds,
        "training": status,
        "errors": dict(errors),
        "calls": {name: _figures(found) for name, found in taken.items()},
        "verdict": "within" if p95 < BAR_MS and not errors else "missed",
    }


def _client(
    address: str,
    task: str,
    training: str,
    number: int,
    taken: dict[str, list[float]],
    errors: Counter[str],
    stop: threading.Event,
) -> None:
    """One person: every fifth follows the log of the training, the others ask, submit and cancel."""
    connection, rng = HTTPOperations(address), random.Random(number)

    def timed(name: str, call: Any) -> Any:
        began = time.perf_counter()
        try:
            return call()
        except Exception as e:
            errors[f"{name}: {type(e).__name__}: {str(e)[:80]}"] += 1
        finally:
            taken[name].append((time.perf_counter() - began) * 1000)
        return None

    try:
        if number % 5 == 0:
            for _ in connection.stream_log(training, follow=True):
                if stop.is_set():
                    return
            return
        while not stop.is_set():
            for _ in range(rng.randint(3, 8)):
                timed("status", lambda: connection.job(training))
                if stop.wait(rng.uniform(0.3, 0.9)):
                    return
            timed("list", lambda: connection.jobs(limit=20))
            if rng.random() < 0.3:
                made = timed("submit", lambda: connection.submit("train", {"task": task}))
                if made is not None:
                    timed("cancel", lambda made=made: connection.cancel(made["id"]))
    finally:
        connection.close()


def _figures(found: list[float]) -> dict[str, float | int]:
    if not found:
        return {"calls": 0}
    return {
        "calls": len(found),
        "median_ms": round(statistics.median(found), 2),
        "p95_ms": round(_quantile(found, 0.95), 2),
        "max_ms": round(max(found), 2),
    }


def _quantile(found: list[float], q: float) -> float:
    ordered = sorted(found)
    return ordered[min(int(len(ordered) * q), len(ordered) - 1)] if ordered else float("inf")


if __name__ == "__main__":
    main()
