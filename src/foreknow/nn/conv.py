"""One layer of heterogeneous message passing over the node sets of a batch.

For every set, what its rows are told along each link is combined with what they are (GraphSAGE, Hamilton et al. 2017,
with one weight per edge type and direction, Schlichtkrull et al. 2018):

* from children: the mean (sum, max) of the children's vectors, times a weight. The weight comes after the mean, on
  few rows, since both are linear; plus the logarithm of how many children are visible, which a mean forgets.
* from parents: each distinct parent's vector times a weight, then gathered.
* from the source row a child was reached from: the same, gathered by owner.

Only sets that still matter for the seeds are computed: after layer ``l`` of ``L``, those up to ``L - l`` hops away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own idiom

from foreknow.sample.batch import SetTensors
from foreknow.sample.plan import NodeSet, Plan

__all__ = ["Aggregation", "HeteroConv", "Norm", "make_norm", "reduce_children"]

Aggregation = Literal["mean", "sum", "max"]
Norm = Literal["layer", "batch", "instance", "none"]


def role_of(s: NodeSet) -> str:
    """Sets of one role share weights: the seeds are a role of their own, other sets go by table."""
    return "seeds" if s.kind == "seeds" else f"table:{s.table}"


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation of ``(N, C)``, by its running statistics where there is but one row: no variance in that."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise. Shape as given."""
        if len(x) != 1 or not self.training:
            return super().forward(x)
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)


def make_norm(kind: Norm, channels: int) -> nn.Module:
    """A normalisation of ``(N, C)`` vectors."""
    if kind == "layer":
        return nn.LayerNorm(channels)
    if kind == "instance":  # per row, nothing learnt
        return nn.LayerNorm(channels, elementwise_affine=False)
    return BatchNorm(channels) if kind == "batch" else nn.Identity()


def reduce_children(x: Tensor, rows: SetTensors, num_sources: int, how: Aggregation) -> Tensor:
    """Combine children's vectors per source row. ``x``: ``(N, D)``. Returns ``(num_sources, D)``, 0 where none."""
    assert rows.owner is not None
    assert rows.offsets is not None
    out = x.new_zeros(num_sources, x.shape[1])
    if how == "max":
        index = rows.owner.long()[:, None].expand_as(x)
        return out.scatter_reduce(0, index, x, "amax", include_self=False)
    out = out.index_add(0, rows.owner, x)
    if how == "mean":
        count = (rows.offsets[1:] - rows.offsets[:-1]).clamp_min(1)
        out = out / count[:, None]
    return out


class HeteroConv(nn.Module):
    """One layer.

    Args:
        plan: The sets.
        in_sizes: Width of each role's (and edge set's) vectors coming in.
        channels: Width ``C`` going out.
        depth: Sets farther from the seeds than this are not computed.
        names: A short stable parameter name for every role.
        aggregation: Over children of one link.
        hetero_aggregation: Over the links.
        norm: After combining.
    """

    def __init__(
        self,
        plan: Plan,
        in_sizes: Mapping[str, int],
        channels: int,
        depth: int,
        names: Mapping[str, str],
        *,
        aggregation: Aggregation = "mean",
        hetero_aggregation: Aggregation = "sum",
        norm: Norm = "layer",
    ) -> None:
        super().__init__()
        self.aggregation, self.hetero_aggregation = aggregation, hetero_aggregation
        self.names = names
        self.computed = [s for s in plan.sets if s.depth <= depth and s.kind != "edges"]
        self.edge_sets = [s.index for s in plan.sets if s.kind == "edges"]
        self.hanging = {s.index: plan.hanging_from(s.index) for s in plan.sets}
        self.source = {s.index: plan.sets[s.source] for s in plan.sets if s.source >= 0}
        self.own, self.norm = nn.ModuleDict(), nn.ModuleDict()
        self.message = nn.ModuleDict()
        self.degree = nn.ParameterDict()
        for s in self.computed:
            name = names[role_of(s)]
            if name not in self.own:
                self.own[name] = nn.Linear(in_sizes[role_of(s)], channels)
                self.norm[name] = make_norm(norm, channels)
            for child in self.hanging[s.index]:
                self._add_message(child, s, in_sizes, channels)
                if child.kind == "edges":
                    for other in self.hanging[child.index]:
                        self._add_message(other, s, in_sizes, channels)
            if s.back:
                key = self._key("back", self.source[s.index], s)
                if key not in self.message:
                    self.message[key] = nn.Linear(in_sizes[role_of(self.source[s.index])], channels, bias=False)

    def _key(self, kind: str, sender: NodeSet, receiver: NodeSet) -> str:
        """Parameter name of a message: by link, direction and the roles at both ends."""
        edge = receiver.edge if kind == "back" else sender.edge
        return f"{kind}{edge}_{self.names[role_of(sender)]}_{self.names[role_of(receiver)]}"

    def _add_message(self, sender: NodeSet, receiver: NodeSet, in_sizes: Mapping[str, int], channels: int) -> None:
        key = self._key(sender.kind, sender, receiver)
        if key in self.message:
            return
        self.message[key] = nn.Linear(in_sizes[role_of(sender)], channels, bias=False)
        if sender.kind in ("children", "edges"):
            self.degree[key] = nn.Parameter(torch.zeros(channels))

    def forward(self, h: Sequence[Tensor | None], sets: Sequence[SetTensors]) -> list[Tensor | None]:
        """Compute one layer. ``h[i]``: vectors of set ``i``, None if no longer needed; returned likewise."""
        out: list[Tensor | None] = [None] * len(h)
        for s in self.computed:
            x = h[s.index]
            assert x is not None
            name, n = self.names[role_of(s)], len(sets[s.index])
            messages = [self._from(child, s, h, sets, n) for child in self.hanging[s.index]]
            if s.back:
                owner = sets[s.index].owner
                back = self.message[self._key("back", self.source[s.index], s)](h[s.source])
                assert owner is not None
                messages.append(F.embedding(owner, back))
            total = self.own[name](x)
            # In place: neither a linear map nor a normalisation needs its own output to be differentiated.
            if self.hetero_aggregation == "sum":
                for message in messages:
                    total.add_(message)
            elif messages:
                total.add_(self._combine(messages))
            out[s.index] = F.relu_(self.norm[name](total))
        # Edge sets carry no state of their own: their columns are read afresh by every layer.
        for i in self.edge_sets:
            out[i] = h[i]
        return out

    def _from(
        self, child: NodeSet, s: NodeSet, h: Sequence[Tensor | None], sets: Sequence[SetTensors], n: int
    ) -> Tensor:
        x, rows = h[child.index], sets[child.index]
        assert x is not None
        key = self._key(child.kind, child, s)
        if child.kind == "parents":
            return _gather(self.message[key](x), rows.link)
        assert rows.degree is not None
        message: Tensor = self.message[key](reduce_children(x, rows, n, self.aggregation))
        if child.kind == "edges":
            for other in self.hanging[child.index]:
                y = h[other.index]
                assert y is not None
                along = _gather(self.message[self._key("parents", other, s)](y), sets[other.index].link)
                message = message + reduce_children(along, rows, n, self.aggregation)
        weighted: Tensor = torch.log1p(rows.degree)[:, None] * self.degree[key]
        return message + weighted

    def _combine(self, messages: list[Tensor]) -> Tensor:
        stacked = torch.stack(messages)
        return stacked.amax(0) if self.hetero_aggregation == "max" else stacked.mean(0)


def _gather(x: Tensor, link: Tensor | None) -> Tensor:
    """Rows of ``x`` by index, zeros where the index is -1. ``x``: ``(P, C)``. Returns ``(N, C)``."""
    assert link is not None
    padded = torch.cat([x, x.new_zeros(1, x.shape[1])])
    gathered: Tensor = F.embedding(torch.where(link < 0, x.shape[0], link), padded)
    return gathered
