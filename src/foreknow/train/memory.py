"""How much memory a training will take, told before it starts.

Measured rather than guessed: a few seeds are drawn and put through the network, and what PyTorch keeps for the
backward pass is counted. A batch takes so many times that. Nothing is learnt from the probe, and no random state moves.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import torch
from torch import Tensor, nn

from foreknow.errors import ResourceError
from foreknow.nn.model import RelationalGNN
from foreknow.sample.loader import Loader, Seeds
from foreknow.train.config import TrainConfig

__all__ = ["MemoryEstimate", "available_bytes", "check_memory", "estimate_memory"]

PROBE_SEEDS = 16
BASE_BYTES = 100_000_000  # buffers that training brings whatever the batch; measured
STEP_FACTOR = 2.5  # gradients and temporaries beside what is kept, and batches above the average
SCORE_FACTOR = 0.75  # without gradients less is alive at once
COPIES = 5  # of the weights: themselves, gradients, two moments, the best epoch's


@dataclass(frozen=True, kw_only=True)
class MemoryEstimate:
    """Bytes. ``per_seed`` is what one seed keeps for the backward pass."""

    weights: int
    per_seed: int
    step: int
    scoring: int

    @property
    def total(self) -> int:
        """At the peak, beside what the process holds already."""
        return BASE_BYTES + self.weights + max(self.step, self.scoring)


def estimate_memory(network: RelationalGNN, loader: Loader, seeds: Seeds, config: TrainConfig) -> MemoryEstimate:
    """Measure a few seeds of the training rows and scale up.

    Args:
        network: As it will be trained; left as it is.
        loader: Draws the seeds' past.
        seeds: The training rows.
        config: Batch sizes.
    """
    count = min(PROBE_SEEDS, len(seeds))
    rows = np.linspace(0, len(seeds) - 1, count).astype(np.int64)  # spread over entities and times
    per_seed = -(-_kept_bytes(network, loader, seeds, rows) // count)
    weights = sum(p.numel() * p.element_size() for p in network.parameters()) * COPIES
    return MemoryEstimate(
        weights=weights,
        per_seed=per_seed,
        step=int(per_seed * min(config.batch_size, len(seeds)) * STEP_FACTOR),
        scoring=int(per_seed * config.eval_batch_size * SCORE_FACTOR),
    )


def check_memory(estimate: MemoryEstimate, config: TrainConfig, device: torch.device) -> None:
    """Refuse a training that won't fit.

    Raises:
        ResourceError: With what it needs, what there is, and what to lower to how much.
    """
    free = available_bytes(device)
    if estimate.total <= free:
        return
    room = max(free - estimate.weights - BASE_BYTES, 0)
    fits = int(room // max(estimate.per_seed * STEP_FACTOR, 1))
    fits_scoring = int(room // max(estimate.per_seed * SCORE_FACTOR, 1))
    advice = []
    if estimate.weights > free:
        advice.append(f"the weights alone take {_gb(estimate.weights)}: lower channels or shallow_embeddings")
    if estimate.step > room and fits >= 1:
        advice.append(f"lower batch_size from {config.batch_size} to {_round_down(fits)}")
    if estimate.scoring > room and fits_scoring >= 1:
        advice.append(f"lower eval_batch_size from {config.eval_batch_size} to {_round_down(fits_scoring)}")
    advice.append(f"or lower num_neighbors ({list(config.num_neighbors)}) or channels ({config.channels})")
    where = "this machine" if device.type == "cpu" else f"'{device}'"
    raise ResourceError(
        f"training needs about {_gb(estimate.total)} of memory, and {_gb(free)} are free on {where}",
        hint="; ".join(advice),
    )


def available_bytes(device: torch.device) -> int:
    """Memory that is free on a device; on this machine, what a container's limit leaves of it."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    free = psutil.virtual_memory().available
    limit, used = _cgroup("memory.max"), _cgroup("memory.current")
    if limit is not None and used is not None:
        free = min(free, limit - used + (_inactive() or 0))
    return int(max(free, 0))


def _kept_bytes(network: RelationalGNN, loader: Loader, seeds: Seeds, rows: np.ndarray) -> int:
    """Bytes of different tensors kept for the backward pass of some seeds, weights not counted."""
    own = {p.untyped_storage().data_ptr() for p in network.parameters()}
    kept: dict[int, int] = {}

    def note(t: Tensor) -> Tensor:
        storage = t.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return t

    device = next(network.parameters()).device
    with _evaluating(network), torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
        out = network(loader.batch(seeds, rows).to(device))
    del out
    return sum(kept.values())


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """A network in evaluation mode, so that neither its statistics nor random numbers move; then as it was."""
    was_training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(was_training)


def _cgroup(name: str) -> int | None:
    try:
        text = (Path("/sys/fs/cgroup") / name).read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _inactive() -> int | None:
    """File pages a container would give back before it is out of memory."""
    try:
        lines = Path("/sys/fs/cgroup/memory.stat").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("inactive_file ")), None)


def _gb(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e8 else f"{num_bytes / 1e6:.1f} MB"


def _round_down(number: int) -> int:
    """The power of two below: nobody wants a batch of 1,187."""
    return 1 << (number.bit_length() - 1)
