"""Foreknow's phases: from files to ready, the sampler alone, training steps, training to an accuracy.

They take the way the product takes (`workflow.prepare`, the loader, the network, the loss of `train.loop`), cut
where a clock is to be read.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from data import TASK
from measure import Laps, start_up

from foreknow.database import open_database
from foreknow.graph.adjacency import build_reverse
from foreknow.graph.encode import Encoding, fit_encoding
from foreknow.graph.store import GraphStore
from foreknow.nn.model import ModelConfig, RelationalGNN, num_parameters
from foreknow.sample.batch import Batch
from foreknow.sample.loader import Loader
from foreknow.sample.plan import make_plan
from foreknow.sample.temporal import TemporalSampler
from foreknow.train.config import TrainConfig
from foreknow.train.loop import EpochRecord, fit
from foreknow.train.loss import make_objective
from foreknow.workflow import MAX_WINDOWS, Prepared, Silent, prepare


@dataclass(frozen=True, kw_only=True)
class Ready:
    """Everything a training step needs."""

    prepared: Prepared
    encoding: Encoding
    windows_days: tuple[float, ...]
    loader: Loader

    def network(self, channels: int) -> RelationalGNN:
        """A fresh network."""
        torch.manual_seed(0)
        return RelationalGNN(
            self.loader.sampler.plan,
            self.encoding,
            num_windows=len(self.windows_days),
            num_outputs=self.prepared.labels.num_outputs,
            config=ModelConfig(channels=channels),
        )


class _Stopwatch(Silent):
    """A reporter that reads the clock whenever something begins."""

    def __init__(self, laps: Laps) -> None:
        self.laps, self._now = laps, "opening"

    def stage(self, text: str) -> None:
        """What began before ends here."""
        self.laps.lap(self._now)
        self._now = text.partition(" (")[0]


def make_ready(
    project: str,
    home: str,
    *,
    fan_out: list[int] | None = None,
    strategy: str = "uniform",
    laps: Laps | None = None,
) -> Ready:
    """Stage the tables, build the graph, fit and bind the encodings, or find them in `home`."""
    laps = laps or Laps()
    watch = _Stopwatch(laps)
    bound = open_database(project, home=home, progress=watch.stage).task(TASK)
    prepared = prepare(bound, reporter=watch)
    watch.stage("fitting encodings")
    encoding = fit_encoding(prepared.store, prepared.fitted_until)
    windows_days = encoding.time.scales_days[-MAX_WINDOWS:]
    loader = Loader.for_task(
        prepared.store,
        bound.task,
        encoding,
        num_neighbors=fan_out or [128, 64],
        strategy=strategy,  # type: ignore[arg-type]
        windows_days=windows_days,
        seed=0,
    )
    watch.stage("")
    return Ready(prepared=prepared, encoding=encoding, windows_days=windows_days, loader=loader)


def warm_up(project: str, home: str) -> dict[str, Any]:
    """Compile all kernels into their cache, so that no figure holds a compiler's seconds."""
    laps = Laps()
    ready = make_ready(project, home)
    _step_parts(ready, batch_size=64, channels=16, steps=1)
    laps.lap("all")
    return {"laps": laps.laps}


def to_ready(project: str, home: str) -> dict[str, Any]:
    """From files to ready to train. Imports and loading compiled kernels from their cache are start-up, not work."""
    import pandas  # noqa: F401 - pyarrow imports it on the first conversion

    build_reverse(np.zeros(1, np.int32), 1)
    begun = start_up()
    laps = Laps()
    store = make_ready(project, home, laps=laps).prepared.store
    return {
        "laps": laps.laps,
        "total": laps.total,
        "start_up": begun,
        "store_bytes": store.size_bytes,
        "bytes_per_fact": _bytes_per_fact(store),
    }


def _bytes_per_fact(store: GraphStore) -> dict[str, float]:
    """Bytes on disk per transaction: its own columns, its links both ways."""
    tables = list(store.schema.tables)
    own = sum(f.stat().st_size for f in (store.folder / str(tables.index("transactions"))).iterdir())
    links = sum(f.stat().st_size for kind in ("fk", "rev") for f in (store.folder / kind).iterdir())
    n = store["transactions"].num_rows
    return {"columns": own / n, "links": links / n, "total": (own + links) / n}


def sampler(
    project: str, home: str, *, fan_outs: list[list[int]], batch_size: int, seconds: float, seed: int = 0
) -> dict[str, Any]:
    """Sampling alone, without reading columns: seeds per CPU second, and what a batch holds."""
    ready = make_ready(project, home)
    store, seeds = ready.prepared.store, ready.prepared.splits["train"].seeds
    rng = np.random.default_rng(seed)
    figures = []
    for fan_out in fan_outs:
        for strategy in ("uniform", "last"):
            s = TemporalSampler(
                store,
                make_plan(store.schema, "customers", fan_out),
                strategy=strategy,
                windows_days=ready.windows_days,
            )
            num_batches, rows = 0, 0
            cpu = wall = 0.0
            while num_batches < 5 or cpu < seconds:
                chosen = rng.integers(0, len(seeds), batch_size)
                row, at = seeds.row[chosen], seeds.time[chosen]
                c, w = time.process_time(), time.perf_counter()
                sample = s.sample(row, at, epoch=num_batches)
                if num_batches >= 3:  # the first ones touch the disk
                    cpu += time.process_time() - c
                    wall += time.perf_counter() - w
                    rows += sample.num_rows
                num_batches += 1
            n = num_batches - 3
            figures.append(
                {
                    "fan_out": fan_out,
                    "strategy": strategy,
                    "seeds_per_cpu_s": n * batch_size / cpu,
                    "seeds_per_s": n * batch_size / wall,
                    "rows_per_batch": rows / n,
                }
            )
    return {"figures": figures, "batch_size": batch_size}


def step(
    project: str,
    home: str,
    *,
    fan_out: list[int],
    strategy: str,
    batch_size: int,
    channels: int,
    steps: int,
) -> dict[str, Any]:
    """Training steps, split into load (sample, gather, encode), forward with loss, backward, optimizer."""
    ready = make_ready(project, home, fan_out=fan_out, strategy=strategy)
    network, parts, rows = _step_parts(ready, batch_size=batch_size, channels=channels, steps=steps)
    return {"parts": parts, "parameters": num_parameters(network), "rows_per_batch": rows}


def _step_parts(
    ready: Ready, *, batch_size: int, channels: int, steps: int
) -> tuple[RelationalGNN, list[dict[str, dict[str, float]]], dict[str, float]]:
    """The network, one entry per step, rows a batch. The same calls in the same order as the training loop."""
    config, labels, train = TrainConfig(channels=channels), ready.prepared.labels, ready.prepared.splits["train"]
    network = ready.network(channels)
    objective = make_objective(labels, config, "roc_auc")
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.lr, weight_decay=config.weight_decay, foreach=True)
    target = torch.from_numpy(train.target.astype(np.float32))
    order = np.random.default_rng(0).permutation(len(train))
    network.train()
    parts = []
    rows_of = dict.fromkeys((s.table for s in ready.loader.sampler.plan.sets), 0)
    warm = 3
    for i, rows in enumerate(_chunks(order, batch_size, warm + steps)):
        laps = Laps()
        batch: Batch = ready.loader.batch(train.seeds, rows)
        laps.lap("load")
        optimizer.zero_grad(set_to_none=True)
        loss = objective(network(batch), target[torch.from_numpy(batch.rows)])
        float(loss.detach())
        laps.lap("forward")
        loss.backward()  # type: ignore[no-untyped-call]
        laps.lap("backward")
        assert config.clip_norm is not None
        torch.nn.utils.clip_grad_norm_(network.parameters(), config.clip_norm)
        optimizer.step()
        laps.lap("optimizer")
        if i >= warm:
            parts.append(laps.laps)
        for s, tensors in zip(ready.loader.sampler.plan.sets, batch.sets, strict=True):
            rows_of[s.table] += len(tensors)
    return network, parts, {t: n / (warm + steps) for t, n in rows_of.items()}


def _chunks(order: np.ndarray, size: int, number: int) -> Iterator[np.ndarray]:
    """So many batches of rows, beginning again at the end."""
    per_pass = max(1, len(order) // size)
    for i in range(number):
        at = i % per_pass * size
        yield order[at : at + size]


class _Curve(Silent):
    """Notes CPU seconds and validation scores; seconds spent on validation don't count."""

    def __init__(self) -> None:
        self.points: list[dict[str, float]] = []
        self.steps, self._evaluating, self._start = 0, 0.0, time.process_time()
        self._last = self._start

    def on_step(self, epoch: int, step: int, num_steps: int, loss: float) -> None:
        """A step is done."""
        self.steps += 1
        self._last = time.process_time()

    def on_epoch(self, record: EpochRecord) -> None:
        """A point of the curve."""
        self._evaluating += time.process_time() - self._last
        cpu = time.process_time() - self._start - self._evaluating
        self.points.append({"step": self.steps, "cpu_s": cpu, "val_auc": record.val_metric})


def accuracy(
    project: str,
    home: str,
    *,
    fan_out: list[int],
    strategy: str,
    batch_size: int,
    channels: int,
    steps: int,
    points: int,
) -> dict[str, Any]:
    """Train with the product's own loop and note validation ROC-AUC over CPU seconds."""
    ready = make_ready(project, home, fan_out=fan_out, strategy=strategy)
    curve = _Curve()
    result = fit(
        ready.network(channels),
        ready.loader,
        ready.prepared.splits["train"],
        ready.prepared.splits["validation"],
        ready.prepared.labels,
        config=TrainConfig(
            channels=channels,
            batch_size=batch_size,
            eval_batch_size=batch_size,
            epochs=points,
            max_steps_per_epoch=max(1, steps // points),
            patience=points,
        ),
        metric="roc_auc",
        observer=curve,
    )
    return {"curve": curve.points, "steps": result.num_steps}
