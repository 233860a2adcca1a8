"""Row encoders: light on purpose. On a CPU, deep per-column encoders are most of a training step; these are not.

Tables others refer to (dimensions) and seeds get `DeepColumns`: every distinct row once per batch through a small
network. Tables that are only ever reached as children (facts), tens of thousands of rows a batch, get `FlatColumns`:
a short vector of plain inputs, which the first convolution maps to channels in a single matrix product.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own idiom

from foreknow.graph.encode import TableEncoding
from foreknow.sample.batch import SetTensors

__all__ = ["DeepColumns", "FlatColumns"]

FLAT_CATEGORY_SIZE = 8
INIT_STD = 0.1


def _bag(size: int, channels: int, mode: str) -> nn.EmbeddingBag:
    bag = nn.EmbeddingBag(size, channels, mode=mode)
    nn.init.normal_(bag.weight, std=INIT_STD)
    return bag


class DeepColumns(nn.Module):
    """Linear on numbers plus the sum of category embeddings, normalised, through one hidden layer.

    Args:
        encoding: The table's encoding.
        num_extra: Further inputs beside the columns (time, history).
        channels: Output width ``C``.
    """

    def __init__(self, encoding: TableEncoding, num_extra: int, channels: int) -> None:
        super().__init__()
        self.out_size = channels
        width = encoding.dense_size + num_extra
        self.dense = nn.Linear(width, channels) if width else None
        self.bias = None if width else nn.Parameter(torch.zeros(channels))
        sizes = encoding.category_sizes
        self.category = _bag(sum(sizes), channels, "sum") if sizes else None
        self.lists = nn.ModuleList(_bag(n, channels, "mean") for n in encoding.list_sizes)
        self.norm = nn.LayerNorm(channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, rows: SetTensors, extra: Tensor | None) -> Tensor:
        """Encode rows; ``extra`` is ``(N, num_extra)``. Returns ``(N, C)``."""
        if self.dense is not None:
            x = self.dense(rows.dense if extra is None else torch.cat([rows.dense, extra], 1))
        else:
            assert self.bias is not None
            x = self.bias.expand(len(rows), -1)
        if self.category is not None:
            x = x + self.category(rows.category)
        for bag, (codes, offsets) in zip(self.lists, rows.lists, strict=True):
            x = x + bag(codes.long(), offsets)
        encoded: Tensor = self.out(F.relu(self.norm(x)))
        return encoded


class FlatColumns(nn.Module):
    """Numbers as they are beside short category embeddings. Output width depends on the columns."""

    def __init__(self, encoding: TableEncoding, num_extra: int) -> None:
        super().__init__()
        sizes = encoding.category_sizes
        self.category = nn.Embedding(sum(sizes), FLAT_CATEGORY_SIZE) if sizes else None
        if self.category is not None:
            nn.init.normal_(self.category.weight, std=1.0)
        self.lists = nn.ModuleList(_bag(n, FLAT_CATEGORY_SIZE, "mean") for n in encoding.list_sizes)
        width = encoding.dense_size + num_extra + FLAT_CATEGORY_SIZE * (len(sizes) + len(encoding.list_sizes))
        self.is_empty = width == 0
        self.out_size = max(width, 1)

    def forward(self, rows: SetTensors, extra: Tensor | None) -> Tensor:
        """Concatenate. Returns ``(N, out_size)``; a single constant if the table has nothing to show."""
        if self.is_empty:
            return rows.dense.new_ones(len(rows), 1)
        parts = [rows.dense] if extra is None else [rows.dense, extra]
        if self.category is not None:
            parts.append(self.category(rows.category).flatten(1))
        for bag, (codes, offsets) in zip(self.lists, rows.lists, strict=True):
            parts.append(bag(codes.long(), offsets))
        return torch.cat(parts, 1)
