"""The peer: what a user would pick today. PyG, pytorch-frame, and the heterogeneous GraphSAGE of RelBench's example.

Encoder: a pytorch-frame ResNet per table (128 channels, 4 layers). Time: a positional encoding of the days before
the seed time. Two layers of SAGE convolutions per edge type, summed, LayerNorm, ReLU. Head: batch norm and a linear
map. Adam, lr 0.005. As published, so without ``trim_to_layer``.

Source: Robinson et al. 2024, RelBench (arXiv 2407.20060), the entity-task example.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch_frame
import torch_geometric.typing
from data import SPLITS, TABLES, meanings
from feed import ARTICLE_OF, BOUGHT, CUSTOMER_OF, SOLD, EdgeType, Subgraphs, to_subgraphs
from measure import Laps
from ours import Ready, make_ready
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own idiom
from torch_frame import TensorFrame, stype
from torch_frame.data import Dataset
from torch_frame.nn import EmbeddingEncoder, LinearEncoder, TimestampEncoder
from torch_frame.nn.models import ResNet
from torch_geometric.data import HeteroData
from torch_geometric.loader import NeighborLoader
from torch_geometric.nn import MLP, HeteroConv, LayerNorm, PositionalEncoding, SAGEConv
from torch_geometric.utils import sort_edge_index

from foreknow.types import DAY_S

LEARNING_RATE = 0.005  # RelBench's
NUM_ENCODER_LAYERS = 4
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
    base = Laps()
    base.lap("imports")
    laps = Laps()
    m = materialise(Path(folder), laps)
    edges = sum(_size(e.edge_index) for e in m.data.edge_stores)
    own = sum(_size(f) for f in m.data["transactions"].tf.feat_dict.values()) + _size(m.data["transactions"].time)
    n = m.data["transactions"].num_nodes
    torch.save(m, cache)
    return {
        "laps": laps.laps,
        "total": laps.total,
        "imports_gib": base.laps["imports"]["peak_gib"],
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


class Feed:
    """Draws the peer's batches: with PyG's own loader where it has a sampler, else from Foreknow's."""

    def __init__(self, m: Materialised, project: str, home: str, *, fan_out: list[int], strategy: str) -> None:
        self.m, self.fan_out, self.strategy = m, fan_out, strategy
        self.source = backend() or "foreknow"
        self._ready: Ready | None = None
        if self.source == "foreknow":
            self._ready = make_ready(project, home, fan_out=fan_out, strategy=strategy)

    def batches(self, split: str, batch_size: int, order: np.ndarray) -> Iterator[PeerBatch]:
        """The given rows of a split, `batch_size` at a time."""
        return self._from_pyg(split, batch_size, order) if self._ready is None else self._from_us(split, batch_size, order)

    def subgraphs(self, split: str, rows: np.ndarray) -> Subgraphs:
        """One batch drawn by our sampler."""
        assert self._ready is not None
        seeds, sampler = self.m.splits[split], self._ready.loader.sampler
        row = self._ready.prepared.store["customers"].to_row(seeds.row[rows].numpy())
        sample = sampler.sample(row, seeds.time[rows].numpy())
        return to_subgraphs(sampler.store, sampler.plan, sample)

    def _from_us(self, split: str, batch_size: int, order: np.ndarray) -> Iterator[PeerBatch]:
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            s = self.subgraphs(split, rows)
            n_id = {t: torch.from_numpy(n) for t, n in s.n_id.items()}
            at = self.m.data["transactions"].time[n_id["transactions"]]
            yield PeerBatch(
                frames={t: frame[n_id[t]] for t, frame in self.m.frames.items()},
                days=(s.seed_time[s.batch] - at) / DAY_S,
                edge_index_dict=s.edge_index_dict,
                num_seeds=len(rows),
                label=self.m.splits[split].label[rows],
            )

    def _from_pyg(self, split: str, batch_size: int, order: np.ndarray) -> Iterator[PeerBatch]:
        seeds = self.m.splits[split]
        loader = NeighborLoader(
            self.m.data,
            num_neighbors=self.fan_out,
            time_attr="time",
            input_nodes=("customers", seeds.row[order]),
            input_time=seeds.time[order],
            batch_size=batch_size,
            temporal_strategy=self.strategy,
        )
        for b in loader:
            facts = b["transactions"]
            seed_time = b["customers"].seed_time
            yield PeerBatch(
                frames={t: b[t].tf for t in TABLES},
                days=(seed_time[facts.batch] - facts.time) / DAY_S,
                edge_index_dict=b.edge_index_dict,
                num_seeds=len(seed_time),
                label=seeds.label[order][b["customers"].input_id],
            )


def step(
    project: str,
    home: str,
    cache: str,
    *,
    threads: int,
    fan_out: list[int],
    strategy: str,
    batch_size: int,
    channels: int,
    steps: int,
) -> dict[str, Any]:
    """Training steps, split into load, forward with loss, backward, optimizer. Fed by us, load is left out."""
    torch.set_num_threads(threads)
    m = _load(cache)
    feed = Feed(m, project, home, fan_out=fan_out, strategy=strategy)
    model = _model(m, channels, len(fan_out))
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
            parts.append(laps.laps if feed.source != "foreknow" else {k: v for k, v in laps.laps.items() if k != "load"})
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
    m = _load(cache)
    feed = Feed(m, project, home, fan_out=fan_out, strategy="uniform")
    model = _model(m, channels, len(fan_out))
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
    threads: int,
    fan_out: list[int],
    strategy: str,
    batch_size: int,
    channels: int,
    steps: int,
    points: int,
) -> dict[str, Any]:
    """Train and note validation ROC-AUC over CPU seconds; fed by us, those of drawing are left out."""
    torch.set_num_threads(threads)
    m = _load(cache)
    feed = Feed(m, project, home, fan_out=fan_out, strategy=strategy)
    model = _model(m, channels, len(fan_out))
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


def _model(m: Materialised, channels: int, num_layers: int) -> PeerModel:
    torch.manual_seed(0)
    return PeerModel(m.frames, m.statistics, channels=channels, num_layers=num_layers)


def _load(cache: str) -> Materialised:
    m: Materialised = torch.load(cache, weights_only=False)  # written by `to_ready`, just now, on this machine
    return m


def _seconds(column: Any) -> Tensor:
    return torch.from_numpy(column.to_numpy().astype("datetime64[s]").astype(np.int64))


def _size(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def cache_of(data: Path) -> str:
    """Where the peer's materialised form is kept between phases."""
    return os.fspath(data / "peer.pt")
