"""Time as inputs: how long ago, and when in the day, week and year."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from foreknow.graph.encode import TimeEncoding

__all__ = ["AgeEncoder", "ClockEncoder"]


class AgeEncoder(nn.Module):
    """Days before the seed time as a logarithm and soft bins on a logarithmic scale. Nothing is learnt.

    The bins are Gaussians centred on the data's time scales, so "within a week" and "within a year" are each a
    smooth input of their own.
    """

    centre: Tensor

    def __init__(self, encoding: TimeEncoding) -> None:
        super().__init__()
        logs = [math.log1p(s) for s in encoding.scales_days]
        steps = [b - a for a, b in pairwise(logs)]
        width = max(sum(steps) / len(steps) if steps else 1.0, 0.1)
        self.register_buffer("centre", torch.tensor(logs), persistent=False)
        self.scale = 1.0 / width
        self.unit = max(logs[-1], 1.0)
        self.out_size = 1 + len(logs)

    def forward(self, days: Tensor) -> Tensor:
        """``days``: ``(N,)``, not negative (later times count as now). Returns ``(N, out_size)``."""
        log = torch.log1p(days.clamp_min(0))[:, None]
        bins = torch.exp(-0.5 * ((log - self.centre) * self.scale) ** 2)
        return torch.cat([log / self.unit, bins], 1)


class ClockEncoder(nn.Module):
    """Phases as sine and cosine, for those cycles the data can show."""

    def __init__(self, encoding: TimeEncoding) -> None:
        super().__init__()
        cycles = (encoding.has_clock, encoding.has_week, encoding.has_year)
        self.columns = [i for i, used in enumerate(cycles) if used]
        self.out_size = 2 * len(self.columns)

    def forward(self, phase: Tensor) -> Tensor:
        """``phase``: ``(N, 3)``, fractions of day, week, year. Returns ``(N, out_size)``."""
        angle = phase[:, self.columns] * (2 * math.pi)
        return torch.cat([angle.sin(), angle.cos()], 1)
