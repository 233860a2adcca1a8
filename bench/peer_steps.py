"""The peer at work: its training steps timed, a check that it learns, training to an accuracy."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from data import TABLES
from feed import Feed
from measure import Laps
from peer import LEARNING_RATE, Materialised, PeerModel, load_cached, make_model
from sklearn.metrics import roc_auc_score
from torch.nn import functional as F  # noqa: N812 - PyTorch's own idiom


def step(
    project: str,
    home: str,
    cache: str,
    *,
    fan_out: list[int],
    strategy: str,
    batch_size: int,
    channels: int,
    steps: int,
) -> dict[str, Any]:
    """Training steps, split into load, forward with loss, backward, optimizer. Fed by us, load is left out."""
    m = load_cached(cache)
    feed = Feed(m, project, home, fan_out=fan_out, strategy=strategy)
    model = make_model(m, channels, len(fan_out))
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    warm = 1
    order = np.random.default_rng(0).permutation(len(m.splits["train"].row))[: (warm + steps) * batch_size]
    batches = feed.batches("train", batch_size, order)
    parts, losses, sizes = [], [], []
    for i in range(warm + steps):
        laps = Laps()
        batch = next(batches)
        laps.lap("load")
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(model(batch), batch.label)
        losses.append(float(loss.detach()))
        laps.lap("forward")
        loss.backward()
        laps.lap("backward")
        optimizer.step()
        laps.lap("optimizer")
        sizes.append({t: len(frame) for t, frame in batch.frames.items()})
        if i >= warm:
            parts.append(
                laps.laps if feed.source != "foreknow" else {k: v for k, v in laps.laps.items() if k != "load"}
            )
    return {
        "parts": parts,
        "fed_by": feed.source,
        "parameters": sum(p.numel() for p in model.parameters()),
        "rows_per_batch": {t: float(np.mean([s[t] for s in sizes])) for t in TABLES},
        "losses": losses,
    }


def check(
    project: str, home: str, cache: str, *, fan_out: list[int], batch_size: int, channels: int, steps: int
) -> dict[str, Any]:
    """Whether the peer learns: its loss on one batch, step by step. It must stay finite and fall."""
    m = load_cached(cache)
    feed = Feed(m, project, home, fan_out=fan_out, strategy="uniform")
    model = make_model(m, channels, len(fan_out))
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    batch = next(feed.batches("train", batch_size, np.arange(batch_size)))
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(model(batch), batch.label)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return {"losses": losses, "nodes": {t: len(f) for t, f in batch.frames.items()}}


def accuracy(
    project: str,
    home: str,
    cache: str,
    *,
    fan_out: list[int],
    strategy: str,
    batch_size: int,
    channels: int,
    steps: int,
    points: int,
) -> dict[str, Any]:
    """Train and note validation ROC-AUC over CPU seconds; fed by us, those of drawing are left out."""
    m = load_cached(cache)
    feed = Feed(m, project, home, fan_out=fan_out, strategy=strategy)
    model = make_model(m, channels, len(fan_out))
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    rng, num_train = np.random.default_rng(0), len(m.splits["train"].row)
    order = np.concatenate([rng.permutation(num_train) for _ in range(1 + steps * batch_size // num_train)])
    batches = feed.batches("train", batch_size, order[: steps * batch_size])
    curve: list[dict[str, float]] = []
    cpu = 0.0
    for i in range(1, steps + 1):
        start = time.process_time()
        batch = next(batches)
        if feed.source == "foreknow":
            start = time.process_time()
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(model(batch), batch.label).backward()
        optimizer.step()
        cpu += time.process_time() - start
        if i % max(1, steps // points) == 0:
            curve.append({"step": i, "cpu_s": cpu, "val_auc": _validate(model, m, feed, batch_size)})
    return {"curve": curve, "steps": steps, "fed_by": feed.source}


@torch.no_grad()
def _validate(model: PeerModel, m: Materialised, feed: Feed, batch_size: int) -> float:
    model.eval()
    split = m.splits["validation"]
    outputs = torch.cat([model(b) for b in feed.batches("validation", batch_size, np.arange(len(split.row)))])
    model.train()
    return float(roc_auc_score(split.label.numpy(), outputs.numpy()))
