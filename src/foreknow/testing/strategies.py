"""Hypothesis strategies: small databases of any shape. Needs the package ``hypothesis``.

Times are multiples of `TICK_S` from 1 to `TICKS`, so that many rows share one and seed times fall on, between, before
and after them.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from hypothesis import strategies as st

from foreknow.graph.store import GraphStore
from foreknow.schema.table import Column, ForeignKey, Schema, Table
from foreknow.testing.stores import bare_store
from foreknow.types import DAY_S, NEVER, NO_ROW, Stype

__all__ = ["TICKS", "TICK_S", "bare_stores", "plans", "schemas", "seed_times"]

TICK_S = DAY_S
TICKS = 6


@st.composite
def schemas(draw: st.DrawFn, *, max_tables: int = 4) -> Schema:
    """Tables with and without time, linked in any way: chains, cycles, self links, several links to one table, edges.

    The first table, ``t0``, is never one of edges.
    """
    names = [f"t{i}" for i in range(draw(st.integers(1, max_tables)))]
    kind_of: st.SearchStrategy[Literal["node", "edge"]] = st.sampled_from(["node", "node", "edge"])
    kinds = ["node" if name == "t0" else draw(kind_of) for name in names]
    nodes = st.sampled_from([n for n, kind in zip(names, kinds, strict=True) if kind == "node"])
    tables = {}
    for name, kind in zip(names, kinds, strict=True):
        targets = draw(st.lists(nodes, min_size=2, max_size=2) if kind == "edge" else st.lists(nodes, max_size=2))
        is_timed = draw(st.booleans())
        keys = [
            Column(name="id", stype=Stype.KEY),
            *(Column(name=f"k{j}", stype=Stype.KEY) for j in range(len(targets))),
        ]
        tables[name] = Table(
            name=name,
            columns=(*keys, *([Column(name="time", stype=Stype.TIMESTAMP)] if is_timed else [])),
            primary_key=("id",),
            foreign_keys=tuple(ForeignKey(columns=(f"k{j}",), table=t) for j, t in enumerate(targets)),
            time_column="time" if is_timed else None,
            kind=kind,
        )
    return Schema(tables)


@st.composite
def bare_stores(draw: st.DrawFn, *, max_tables: int = 4, max_rows: int = 8) -> GraphStore:
    """Stores over `schemas`: some rows without time, some links that lead nowhere. ``t0`` has a row at least."""
    schema = draw(schemas(max_tables=max_tables))
    times: dict[str, np.ndarray | int] = {}
    sizes = {}
    for i, t in enumerate(schema):
        size = sizes[t.name] = draw(st.integers(1 if i == 0 else 0, max_rows))
        if t.time_column is None:
            times[t.name] = size
            continue
        instant = st.one_of(st.integers(1, TICKS).map(lambda tick: tick * TICK_S), st.just(NEVER))
        times[t.name] = np.sort(np.array(draw(st.lists(instant, min_size=size, max_size=size)), np.int64))
    parents = []
    for t in schema:
        for k in t.foreign_keys:
            row = st.integers(NO_ROW, sizes[k.table] - 1)
            parents.append(np.array(draw(st.lists(row, min_size=sizes[t.name], max_size=sizes[t.name])), np.int32))
    return bare_store(schema, times, parents)


def seed_times() -> st.SearchStrategy[int]:
    """Seed times before, on, between and after the rows' times."""
    return st.integers(0, 2 * TICKS + 2).map(lambda half: half * TICK_S // 2)


def plans() -> st.SearchStrategy[list[int]]:
    """Fan-outs of one to three hops, -1 among them."""
    return st.lists(st.sampled_from([-1, 1, 2, 3]), min_size=1, max_size=3)
