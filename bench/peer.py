"""The peer: what a user would pick today. PyG, pytorch-frame, and the heterogeneous GraphSAGE of RelBench's example.

Encoder: a pytorch-frame ResNet per table (128 channels, 4 layers). Time: a positional encoding of the days before
the seed time. Two layers of SAGE convolutions per edge type, summed, LayerNorm, ReLU. Head: batch norm and a linear
map. Adam, lr 0.005. As published, so without ``trim_to_layer``.

Source: Robinson et al. 2024, RelBench (arXiv 2407.20060), the entity-task example.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch_geometric.typing
from data import SPLITS, TABLES, meanings
from measure import Laps, start_up
from torch import Tensor, nn
from torch_frame import TensorFrame, stype
from torch_frame.data import Dataset
from torch_frame.nn import EmbeddingEncoder, LinearEncoder, TimestampEncoder
from torch_frame.nn.models import ResNet
from torch_geometric.data import HeteroData
from torch_geometric.nn import MLP, HeteroConv, LayerNorm, PositionalEncoding, SAGEConv
from torch_geometric.utils import sort_edge_index

EdgeType = tuple[str, str, str]

LEARNING_RATE = 0.005  # RelBench's
NUM_ENCODER_LAYERS = 4
CUSTOMER_OF: EdgeType = ("transactions", "f2p_customer_id", "customers")
ARTICLE_OF: EdgeType = ("transactions", "f2p_article_id", "articles")
BOUGHT: EdgeType = ("customers", "rev_f2p_customer_id", "transactions")
SOLD: EdgeType = ("articles", "rev_f2p_article_id", "transactions")
PARENTS = {CUSTOMER_OF: "customer_id", ARTICLE_OF: "article_id"}
REVERSE = {CUSTOMER_OF: BOUGHT, ARTICLE_OF: SOLD}
ENCODERS = {stype.categorical: EmbeddingEncoder, stype.numerical: LinearEncoder, stype.timestamp: TimestampEncoder}

Frames = dict[str, TensorFrame]
Statistics = dict[str, dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Split:
    """Seeds of one split: row of the customer, Unix seconds, label."""

    row: Tensor
    time: Tensor
    label: Tensor


@dataclass(frozen=True, kw_only=True)
class Materialised:
    """The peer's form of the database."""

    data: HeteroData
    statistics: Statistics
    splits: dict[str, Split]

    @property
    def frames(self) -> Frames:
        """Columns by node type."""
        return {t: self.data[t].tf for t in TABLES}


@dataclass(frozen=True, kw_only=True)
class PeerBatch:
    """What the peer's model reads. ``days``: of every transaction before its seed's time."""

    frames: Frames
    days: Tensor
    edge_index_dict: dict[EdgeType, Tensor]
    num_seeds: int
    label: Tensor


class PeerModel(nn.Module):
    """RelBench's model for tables with one table of timed rows."""

    def __init__(self, frames: Frames, statistics: Statistics, *, channels: int, num_layers: int) -> None:
        super().__init__()
        self.encoder = nn.ModuleDict(
            {
                t: ResNet(
                    channels=channels,
                    num_layers=NUM_ENCODER_LAYERS,
                    out_channels=channels,
                    col_stats=statistics[t],
                    col_names_dict=frame.col_names_dict,
                    stype_encoder_dict={s: ENCODERS[s]() for s in frame.col_names_dict},
                )
                for t, frame in frames.items()
            }
        )
        self.position, self.age = PositionalEncoding(channels), nn.Linear(channels, channels)
        edges = [*REVERSE, *REVERSE.values()]
        self.convs = nn.ModuleList(
            HeteroConv({e: SAGEConv((channels, channels), channels, aggr="sum") for e in edges}, aggr="sum")
            for _ in range(num_layers)
        )
        self.norms = nn.ModuleList(
            nn.ModuleDict({t: LayerNorm(channels, mode="node") for t in frames}) for _ in range(num_layers)
        )
        self.head = MLP(channels, out_channels=1, norm="batch_norm", num_layers=1)

    def forward(self, batch: PeerBatch) -> Tensor:
        """Logits of the seeds, ``(B,)``."""
        x = {t: self.encoder[t](frame) for t, frame in batch.frames.items()}
        x["transactions"] = x["transactions"] + self.age(self.position(batch.days))
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = {t: norm[t](h).relu() for t, h in conv(x, batch.edge_index_dict).items()}
        logits: Tensor = self.head(x["customers"][: batch.num_seeds]).view(-1)
        return logits


def backend() -> str | None:
    """The package PyG would draw temporal neighbours with; None if there is none."""
    if torch_geometric.typing.WITH_PYG_LIB:
        return "pyg-lib"
    return "torch-sparse" if torch_geometric.typing.WITH_TORCH_SPARSE else None


def to_ready(folder: str, cache: str) -> dict[str, Any]:
    """From Parquet files to ready to train: pandas read, pytorch-frame materialise, edge indices."""
    begun = start_up()
    laps = Laps()
    m = materialise(Path(folder), laps)
    edges = sum(_size(e.edge_index) for e in m.data.edge_stores)
    own = sum(_size(f) for f in m.data["transactions"].tf.feat_dict.values()) + _size(m.data["transactions"].time)
    n = m.data["transactions"].num_nodes
    torch.save(m, cache)
    return {
        "laps": laps.laps,
        "total": laps.total,
        "start_up": begun,
        "bytes_per_fact": {"columns": own / n, "links": edges / n, "total": (own + edges) / n},
        "backend": backend(),
    }


def materialise(folder: Path, laps: Laps) -> Materialised:
    """Read the files and put them into the peer's form."""
    tables = {t: pd.read_parquet(folder / "parquet" / f"{t}.parquet") for t in TABLES}
    labels = {s: pd.read_parquet(folder / "labels" / f"{s}.parquet") for s in SPLITS}
    laps.lap("reading (pandas)")
    data, statistics = HeteroData(), {}
    for name, columns in meanings(folder / "parquet.yaml").items():
        dataset = Dataset(tables[name][list(columns)], {c: stype(m) for c, m in columns.items()}).materialize()
        data[name].tf, statistics[name] = dataset.tensor_frame, dataset.col_stats
        laps.lap(f"materialising {name}")
    transactions = tables["transactions"]
    data["transactions"].time = _seconds(transactions["t_dat"])
    row = torch.arange(len(transactions))
    keys = {column: pd.Index(tables[e[2]][column]) for e, column in PARENTS.items()}
    for edge, column in PARENTS.items():
        parent = torch.from_numpy(keys[column].get_indexer(transactions[column]).astype(np.int64))
        data[edge].edge_index = sort_edge_index(torch.stack([row, parent]))
        data[REVERSE[edge]].edge_index = sort_edge_index(torch.stack([parent, row]))
    laps.lap("edge indices")
    splits = {
        s: Split(
            row=torch.from_numpy(keys["customer_id"].get_indexer(t["customer_id"]).astype(np.int64)),
            time=_seconds(t["timestamp"]),
            label=torch.from_numpy(t["churn"].to_numpy(np.float32)),
        )
        for s, t in labels.items()
    }
    laps.lap("seeds")
    return Materialised(data=data, statistics=statistics, splits=splits)


def load_cached(cache: str) -> Materialised:
    """What `to_ready` left behind."""
    m: Materialised = torch.load(cache, weights_only=False)  # written just now, on this machine, by `to_ready`
    return m


def make_model(m: Materialised, channels: int, num_layers: int) -> PeerModel:
    """A fresh network."""
    torch.manual_seed(0)
    return PeerModel(m.frames, m.statistics, channels=channels, num_layers=num_layers)


def _seconds(column: Any) -> Tensor:
    return torch.from_numpy(column.to_numpy().astype("datetime64[s]").astype(np.int64))


def _size(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
