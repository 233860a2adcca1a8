"""The peer's batches: drawn by PyG where it has a temporal sampler, else our batches as the peer's model wants them.

PyG's disjoint temporal sampling gives every seed a subgraph of its own: a purchase belongs to one seed, and an
article stands in the batch once for every seed that has bought it. We draw the same purchases and keep every
article once; here they are repeated per seed again. The peer is spared the sampling and the gathering: neither is
in its figures.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from data import TABLES
from ours import Ready, make_ready
from peer import ARTICLE_OF, BOUGHT, CUSTOMER_OF, SOLD, EdgeType, Materialised, PeerBatch, backend
from torch import Tensor
from torch_geometric.loader import NeighborLoader

from foreknow.graph.store import GraphStore
from foreknow.sample.plan import Plan
from foreknow.sample.temporal import Sample
from foreknow.types import DAY_S


@dataclass(frozen=True, kw_only=True)
class Subgraphs:
    """A batch of disjoint subgraphs, in PyG's terms.

    ``n_id[t]``: file row of every node of type t; the seeds are the first customers. ``batch``: seed of every
    transaction. ``edge_index_dict``: both directions of both links. ``seed_time``: Unix seconds, ``(B,)``.
    """

    n_id: dict[str, np.ndarray]
    batch: Tensor
    edge_index_dict: dict[EdgeType, Tensor]
    seed_time: Tensor

    @property
    def num_nodes(self) -> dict[str, int]:
        """Nodes per type."""
        return {t: len(n) for t, n in self.n_id.items()}


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
        return (
            self._from_pyg(split, batch_size, order) if self._ready is None else self._from_us(split, batch_size, order)
        )

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


def to_subgraphs(store: GraphStore, plan: Plan, sample: Sample) -> Subgraphs:
    """Repeat the shared rows of a sample per seed.

    Args:
        store: What was sampled from.
        plan: Two hops from customers: their transactions, and those transactions' articles.
        sample: The draw.
    """
    assert [(s.table, s.kind) for s in plan.sets] == [
        ("customers", "seeds"),
        ("transactions", "children"),
        ("articles", "parents"),
    ], "the peer is fed from two hops over the shop's schema"
    customers, transactions, articles = sample.sets
    assert transactions.owner is not None
    assert articles.link is not None
    assert (articles.link >= 0).all(), "a transaction without an article"
    owner = transactions.owner.astype(np.int64)
    num_articles = store["articles"].num_rows
    pairs, position = np.unique(owner * num_articles + articles.ids[articles.link], return_inverse=True)
    purchase = np.arange(len(owner))
    n_id = {"customers": customers.ids, "transactions": transactions.ids, "articles": pairs % num_articles}
    edges = {
        CUSTOMER_OF: np.stack([purchase, owner]),
        BOUGHT: np.stack([owner, purchase]),
        SOLD: np.stack([position, purchase]),
        ARTICLE_OF: np.zeros((2, 0), np.int64),  # leads to articles of the last hop, whose purchases aren't drawn
    }
    return Subgraphs(
        n_id={t: _file_rows(store, t, ids) for t, ids in n_id.items()},
        batch=torch.from_numpy(owner),
        edge_index_dict={e: torch.from_numpy(i) for e, i in edges.items()},
        seed_time=torch.from_numpy(sample.seed_time[customers.slot]),
    )


def _file_rows(store: GraphStore, table: str, ids: np.ndarray) -> np.ndarray:
    rows = store[table].file_row
    return (ids if rows is None else rows[ids]).astype(np.int64)
