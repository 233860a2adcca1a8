"""The network: row encoders, time, message passing from the farthest rows inwards, and a head on the seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from foreknow.graph.encode import Encoding
from foreknow.nn.columns import DeepColumns, FlatColumns
from foreknow.nn.conv import Aggregation, HeteroConv, Norm, role_of
from foreknow.nn.heads import Head
from foreknow.nn.time import AgeEncoder, ClockEncoder
from foreknow.sample.batch import Batch, SetTensors
from foreknow.sample.plan import Plan

__all__ = ["ModelConfig", "RelationalGNN"]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Shape of the network."""

    channels: int = 128  # width of every vector
    num_layers: int | None = None  # message-passing layers; as many as hops if not given
    conv_aggregation: Aggregation = "mean"  # over the children of a row: mean, sum or max
    hetero_conv_aggregation: Aggregation = "sum"  # over links of different kinds: sum, mean or max
    gnn_norm: Norm = "layer"  # after each layer: layer, batch, instance or none
    head_layers: int = 1  # 1 is a linear head
    head_norm: Norm = "batch"  # in the head: batch, layer, instance or none
    dropout: float = 0.0  # in the head
    id_awareness: bool = False  # mark the seed's own row
    use_temporal_encoder: bool = True  # tell the network how old rows are


class RelationalGNN(nn.Module):
    """Temporal heterogeneous graph network over the node sets of a plan.

    Args:
        plan: The sets a batch holds.
        encoding: Fitted encodings; gives input sizes.
        num_windows: Windows in which the sampler counts children of seeds.
        num_outputs: Outputs per seed.
        config: Shape of the network.
    """

    def __init__(
        self, plan: Plan, encoding: Encoding, *, num_windows: int, num_outputs: int, config: ModelConfig
    ) -> None:
        super().__init__()
        self.plan, self.config = plan, config
        self.num_links = sum(s.source == 0 and s.kind != "parents" for s in plan.sets)
        channels = config.channels
        self.age, self.clock = AgeEncoder(encoding.time), ClockEncoder(encoding.time)
        time_size = (self.age.out_size + self.clock.out_size) if config.use_temporal_encoder else 0
        history_size = self.num_links * (num_windows + (2 if config.use_temporal_encoder else 0))
        tables = sorted(encoding.tables)
        self.names = {"seeds": "seeds", **{f"table:{t}": f"t{i}" for i, t in enumerate(tables)}}
        timed = {s.table for s in plan.sets} & self._timed(encoding)
        referred = {s.table for s in plan.sets if s.kind == "parents"}
        self.columns = nn.ModuleDict()
        sizes: dict[str, int] = {}
        for s in plan.sets:
            role = role_of(s)
            if role in sizes:
                continue
            num_extra = time_size if s.table in timed else 0
            encoder: DeepColumns | FlatColumns
            if s.kind == "seeds":
                num_extra += history_size + (self.clock.out_size if config.use_temporal_encoder else 0)
                encoder = DeepColumns(encoding.tables[s.table], num_extra, channels)
            elif s.table in referred:
                encoder = DeepColumns(encoding.tables[s.table], num_extra, channels)
            else:
                encoder = FlatColumns(encoding.tables[s.table], num_extra)
            self.columns[self.names[role]] = encoder
            sizes[role] = encoder.out_size
        self.timed = timed
        self.id_awareness = nn.Parameter(torch.zeros(channels)) if config.id_awareness else None
        edges = {role_of(s) for s in plan.sets if s.kind == "edges"}
        num_layers = config.num_layers or plan.num_hops
        self.convs = nn.ModuleList()
        for layer in range(num_layers):
            self.convs.append(
                HeteroConv(
                    plan,
                    sizes,
                    channels,
                    num_layers - 1 - layer,
                    self.names,
                    aggregation=config.conv_aggregation,
                    hetero_aggregation=config.hetero_conv_aggregation,
                    norm=config.gnn_norm,
                )
            )
            sizes = {role: size if role in edges else channels for role, size in sizes.items()}
        self.head = Head(
            channels,
            num_outputs,
            num_layers=config.head_layers,
            norm=config.head_norm,
            dropout=config.dropout,
        )

    @staticmethod
    def _timed(encoding: Encoding) -> set[str]:
        return {t for t, e in encoding.tables.items() if not e.mask_future_instants}

    def forward(self, batch: Batch) -> Tensor:
        """Outputs of the seeds, before any sigmoid or scale. Returns ``(B, num_outputs)``."""
        out: Tensor = self.head(self.embed(batch))
        return out

    def embed(self, batch: Batch) -> Tensor:
        """Vectors of the seeds, the head's input. Returns ``(B, C)``."""
        h: list[Tensor | None] = [self._encode(batch, i) for i in range(len(self.plan.sets))]
        for conv in self.convs:
            h = conv(h, batch.sets)
        seeds = h[0]
        assert seeds is not None
        return seeds

    def _encode(self, batch: Batch, index: int) -> Tensor:
        s, rows = self.plan.sets[index], batch.sets[index]
        extra = self._time(rows) if s.table in self.timed and self.config.use_temporal_encoder else []
        if s.kind == "seeds":
            extra.append(self._history(batch.history))
            if self.config.use_temporal_encoder:
                extra.append(self.clock(batch.seed_clock))
        h: Tensor = self.columns[self.names[role_of(s)]](rows, torch.cat(extra, 1) if extra else None)
        if s.kind == "seeds" and self.id_awareness is not None:
            h = h + self.id_awareness
        return h

    def _time(self, rows: SetTensors) -> list[Tensor]:
        assert rows.days is not None
        assert rows.clock is not None
        return [self.age(rows.days), self.clock(rows.clock)]

    def _history(self, history: Tensor) -> Tensor:
        """Logarithms of window counts; of the days since the last child, with a flag where there is none."""
        if history.shape[1] == 0:
            return history
        per_link = history.shape[1] // self.num_links
        blocks = history.reshape(-1, self.num_links, per_link)  # (B, links, windows + 1)
        parts = [torch.log1p(blocks[:, :, :-1])]
        if self.config.use_temporal_encoder:
            last = blocks[:, :, -1:]
            parts += [torch.log1p(last.clamp_min(0)) / 4, (last < 0).float()]
        return torch.cat(parts, 2).flatten(1)


def num_parameters(model: nn.Module) -> int:
    """Learnable numbers of a network."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def set_output_bias(model: RelationalGNN, bias: Sequence[float]) -> None:
    """Start from the base rate: set the head's last bias, e.g. to the log-odds of each class."""
    with torch.no_grad():
        model.head.out.bias.copy_(torch.tensor(bias, dtype=model.head.out.bias.dtype))
