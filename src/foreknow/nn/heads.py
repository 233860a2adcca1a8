"""Heads: from a seed's vector to its outputs."""

from __future__ import annotations

from torch import Tensor, nn

from foreknow.nn.conv import Norm, make_norm

__all__ = ["Head"]


class Head(nn.Module):
    """``num_layers - 1`` hidden layers, then a normalisation and a linear map to the outputs."""

    def __init__(
        self, channels: int, num_outputs: int, *, num_layers: int = 1, norm: Norm = "batch", dropout: float = 0.0
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(num_layers - 1):
            layers += [nn.Linear(channels, channels), make_norm(norm, channels), nn.ReLU(), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers, make_norm(norm, channels), nn.Dropout(dropout))
        self.out = nn.Linear(channels, num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """``x``: ``(B, C)``. Returns ``(B, num_outputs)``."""
        out: Tensor = self.out(self.layers(x))
        return out
