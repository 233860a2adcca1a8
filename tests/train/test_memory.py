"""Memory told before training: what is measured, what is refused, and that nothing is touched by measuring."""

import copy

import numpy as np
import pytest
import torch

from foreknow.errors import ResourceError
from foreknow.train import memory
from foreknow.train.config import TrainConfig
from foreknow.train.memory import MemoryEstimate, available_bytes, check_memory, estimate_memory

CPU = torch.device("cpu")
GB = 10**9


def estimate(shop, config):
    _, splits = shop.splits()
    return estimate_memory(shop.network(config), shop.loader(config), splits["train"].seeds, config)


def test_an_estimate_grows_with_what_is_asked(shop, config):
    base = estimate(shop, config(batch_size=32))
    assert estimate(shop, config(batch_size=64)).step == 2 * base.step
    assert estimate(shop, config(batch_size=32, channels=64)).per_seed > 1.5 * base.per_seed
    assert estimate(shop, config(batch_size=32, num_neighbors=(64, 32))).per_seed > base.per_seed


def test_a_batch_is_not_larger_than_the_rows_there_are(shop, config):
    _, splits = shop.splits()
    found = estimate(shop, config(batch_size=1 << 30, eval_batch_size=1))
    assert found.step <= found.per_seed * len(splits["train"]) * memory.STEP_FACTOR


def test_what_a_real_step_keeps_is_within_the_estimate_and_not_far_below(shop, config):
    c = config(batch_size=64)
    _, splits = shop.splits()
    network, loader, seeds = shop.network(c), shop.loader(c), splits["train"].seeds

    kept = memory._kept_bytes(network, loader, seeds, np.arange(64))
    assert kept <= estimate_memory(network, loader, seeds, c).step <= 5 * kept


def test_measuring_moves_nothing(shop, config):
    c = config(dropout=0.5)
    _, splits = shop.splits()
    network = shop.network(c).train()
    before, state = copy.deepcopy(network.state_dict()), torch.get_rng_state()
    estimate_memory(network, shop.loader(c), splits["train"].seeds, c)
    assert network.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())


@pytest.mark.parametrize(
    ("found", "hint"),
    [
        (MemoryEstimate(weights=0, per_seed=GB, step=256 * GB, scoring=0), "lower batch_size from 128 to 2"),
        (MemoryEstimate(weights=0, per_seed=GB, step=0, scoring=96 * GB), "lower eval_batch_size from 128 to 8"),
        (MemoryEstimate(weights=90 * GB, per_seed=1, step=1, scoring=1), "lower channels or shallow_embeddings"),
    ],
)
def test_a_training_that_does_not_fit_is_refused_with_what_to_lower(monkeypatch, found, hint):
    monkeypatch.setattr(memory, "available_bytes", lambda device: 10 * GB)
    with pytest.raises(ResourceError, match=r"needs about \d+\.\d GB of memory, and 10\.0 GB are free") as caught:
        check_memory(found, TrainConfig(), CPU)
    assert hint in caught.value.hint
    assert "num_neighbors ([128, 64]) or channels" in caught.value.hint


def test_a_training_that_fits_is_not_refused(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda device: GB + memory.BASE_BYTES)
    check_memory(MemoryEstimate(weights=GB // 2, per_seed=1, step=GB // 2, scoring=GB // 2), TrainConfig(), CPU)


def test_the_limit_of_a_container_counts(monkeypatch):
    files = {"memory.max": 3 * GB, "memory.current": GB}
    monkeypatch.setattr(memory, "_cgroup", files.get)
    monkeypatch.setattr(memory, "_inactive", lambda: GB // 2)
    assert available_bytes(CPU) <= 2.5 * GB
    monkeypatch.setattr(memory, "_cgroup", lambda name: None)
    assert available_bytes(CPU) > 0
