"""The sampling plan: which sets of rows hang from which, hop by hop. Static for a schema, entity table and depth.

The plan is a tree of *node sets*. Set 0 holds the seeds. From a set of table ``T`` hang

* for each foreign key ``T -> P``: the set of its rows' parents in ``P`` (each distinct parent once),
* for each foreign key ``C -> T``: the set of its rows' children in ``C`` (up to the fan-out per row),

except the way back: children reached along a key do not list their parent again; its representation is read where
it stands, one hop up (`NodeSet.back`).

A table of kind ``edge`` has no representation of its own: from ``T`` its rows are drawn like children, and the set
of the rows at their other end hangs from them at the same hop. As seeds, its rows are like any others.

    customers (seeds) ──< transactions ──> articles            depth 2 on the H&M schema: three sets
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from foreknow.errors import SamplingError
from foreknow.schema.table import EdgeType, Schema

__all__ = ["NodeSet", "Plan", "make_plan"]

MAX_SETS = 400

Kind = Literal["seeds", "children", "parents", "edges"]


@dataclass(frozen=True, kw_only=True)
class NodeSet:
    """One set of the plan.

    Attributes:
        index: Position in the plan; a set comes after the one it hangs from.
        table: Whose rows it holds.
        kind: ``seeds``; ``children`` or ``edges``, reached along ``rev_<edge>``; or ``parents``, reached along it.
        source: Index of the set it hangs from; -1 for the seeds.
        edge: Number of the foreign key it was reached by, in schema order; -1 for the seeds.
        depth: Hops from the seeds.
        fan_out: Rows drawn per source row at most, -1 for all; 0 for sets that aren't drawn.
        back: Whether the rows' parent along ``edge`` is the source row itself (children of a node table).
        is_leaf: Nothing hangs from it.
    """

    index: int
    table: str
    kind: Kind
    source: int
    edge: int
    depth: int
    fan_out: int
    back: bool
    is_leaf: bool


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All node sets, seeds first."""

    entity_table: str
    num_neighbors: tuple[int, ...]
    sets: tuple[NodeSet, ...]
    edge_types: tuple[EdgeType, ...]

    @property
    def num_hops(self) -> int:
        """How far the plan reaches."""
        return len(self.num_neighbors)

    def hanging_from(self, index: int) -> list[NodeSet]:
        """Sets reached directly from a set."""
        return [s for s in self.sets if s.source == index]


def make_plan(schema: Schema, entity_table: str, num_neighbors: Sequence[int]) -> Plan:
    """Lay out the sets for a task.

    Args:
        schema: The schema; foreign keys are numbered in its order.
        entity_table: Where the seeds are.
        num_neighbors: Fan-out per hop: how many children are drawn per row and key, -1 for all.

    Raises:
        SamplingError: The fan-outs make no sense, or the plan would hold too many sets.
    """
    if not num_neighbors or any(k < -1 or k == 0 for k in num_neighbors):
        raise SamplingError(
            f"num_neighbors is {list(num_neighbors)}: one positive number (or -1 for all) per hop is needed",
            hint="e.g. [128, 64]",
        )
    keys = [(t, k) for t in schema for k in t.foreign_keys]  # numbered as schema.edge_types
    sets: list[NodeSet] = []

    def add(table: str, kind: Kind, source: int, edge: int, depth: int, fan_out: int, back: bool) -> int:
        if len(sets) >= MAX_SETS:
            raise SamplingError(
                f"{len(num_neighbors)} hops from '{entity_table}' reach more than {MAX_SETS} sets of rows",
                hint="use fewer hops (num_neighbors), or leave tables out that don't matter",
            )
        index = len(sets)
        sets.append(
            NodeSet(
                index=index,
                table=table,
                kind=kind,
                source=source,
                edge=edge,
                depth=depth,
                fan_out=fan_out,
                back=back,
                is_leaf=True,
            )
        )
        return index

    todo = [add(entity_table, "seeds", -1, -1, 0, 0, False)]
    for index in todo:  # breadth first: grows while it runs
        s = sets[index]
        if s.depth >= len(num_neighbors):
            continue
        fan_out, hop = num_neighbors[s.depth], s.depth + 1
        for edge, (table, key) in enumerate(keys):
            if table.name == s.table and not (s.back and edge == s.edge):
                todo.append(add(key.table, "parents", index, edge, hop, 0, False))
        for edge, (table, key) in enumerate(keys):
            if key.table != s.table:
                continue
            if table.kind == "node":
                todo.append(add(table.name, "children", index, edge, hop, fan_out, True))
                continue
            rows = add(table.name, "edges", index, edge, hop, fan_out, False)
            for other, (t, k) in enumerate(keys):
                if t.name == table.name and other != edge:
                    todo.append(add(k.table, "parents", rows, other, hop, 0, False))
    with_children = {s.source for s in sets}
    final = tuple(
        NodeSet(**{**s.__dict__, "is_leaf": s.index not in with_children and s.kind != "edges"}) for s in sets
    )
    return Plan(
        entity_table=entity_table,
        num_neighbors=tuple(num_neighbors),
        sets=final,
        edge_types=schema.edge_types,
    )
