"""Our batches as the peer's model wants them, for when PyG has no sampler of its own to draw them with.

PyG's disjoint temporal sampling gives every seed a subgraph of its own: a purchase belongs to one seed, and an
article stands in the batch once for every seed that has bought it. We draw the same purchases and keep every
article once; here they are repeated per seed again. The peer is spared the sampling and the gathering: neither is
in its figures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from foreknow.graph.store import GraphStore
from foreknow.sample.plan import Plan
from foreknow.sample.temporal import Sample

EdgeType = tuple[str, str, str]

CUSTOMER_OF: EdgeType = ("transactions", "f2p_customer_id", "customers")
ARTICLE_OF: EdgeType = ("transactions", "f2p_article_id", "articles")
BOUGHT: EdgeType = ("customers", "rev_f2p_customer_id", "transactions")
SOLD: EdgeType = ("articles", "rev_f2p_article_id", "transactions")


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
