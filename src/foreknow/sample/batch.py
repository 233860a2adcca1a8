"""Batches as tensors: encoded rows of every set, and how the sets hang together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

__all__ = ["Batch", "SetTensors"]


@dataclass(frozen=True, kw_only=True)
class SetTensors:
    """One node set of a batch.

    Attributes:
        dense: Encoded numbers, instants, texts and embeddings. Shape ``(N, F)``, float32.
        category: Indices into the table's category embeddings. Shape ``(N, columns)``, int32.
        lists: Per multicategorical column ``(codes, offsets (N,))``.
        days: Days from each row's time to the seed time; None if the table has no time. Shape ``(N,)``, float32.
        clock: Each row's time as phases: fraction of the day, of the week, of the year. Shape ``(N, 3)``, float32.
        owner, offsets, degree, link: As in ``DrawnSet``; degree is float32.
    """

    dense: Tensor
    category: Tensor
    lists: tuple[tuple[Tensor, Tensor], ...] = ()
    days: Tensor | None = None
    clock: Tensor | None = None
    owner: Tensor | None = None
    offsets: Tensor | None = None
    degree: Tensor | None = None
    link: Tensor | None = None

    def __len__(self) -> int:
        return int(self.dense.shape[0])


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What a model reads. ``rows`` says which rows of the task table its seeds are.

    ``history`` holds, for every link into the entity table, counts of children in windows and days since the last
    one: shape ``(B, links * (windows + 1))``, float32, raw. ``seed_clock`` holds the seed times' phases, ``(B, 3)``.
    """

    rows: np.ndarray
    sets: tuple[SetTensors, ...]
    history: Tensor
    seed_clock: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def to(self, device: torch.device | str) -> Batch:
        """The batch on another device."""
        if torch.device(device).type == "cpu":
            return self
        return self._map(lambda t: t.to(device, non_blocking=True))

    def _map(self, move: Callable[[Tensor], Tensor]) -> Batch:
        def one(s: SetTensors) -> SetTensors:
            moved = {f.name: move(v) for f in fields(s) if f.name != "lists" and (v := getattr(s, f.name)) is not None}
            return replace(s, **moved, lists=tuple((move(a), move(b)) for a, b in s.lists))

        return replace(
            self,
            sets=tuple(one(s) for s in self.sets),
            history=move(self.history),
            seed_clock=move(self.seed_clock),
        )
