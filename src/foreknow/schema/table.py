"""Tables, columns and links: the frozen description every later room works from.

A schema is what a person edits in ``foreknow.yaml`` and what a bundle carries, so it converts to and from
plain values without loss (`Schema.to_dict`, `Schema.from_dict`). Whether it fits together is said by `check.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from foreknow.errors import SchemaError, did_you_mean
from foreknow.types import Stype

__all__ = ["Column", "EdgeType", "ForeignKey", "Schema", "Table"]


class EdgeType(NamedTuple):
    """A foreign key as a typed edge: rows of ``source`` point along ``name`` to rows of ``target``.

    The edge of key ``driverId`` of table ``results`` is ``("results", "f2p_driverId", "drivers")``; walking it
    backwards is spelt ``rev_f2p_driverId``.
    """

    source: str
    name: str
    target: str


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column: its meaning (`stype`), its storage (`dtype`, a DuckDB type name), and its SQL if derived."""

    name: str
    stype: Stype
    dtype: str = ""
    sql: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values; the inverse of ``Column(**value)``."""
        value: dict[str, Any] = {"name": self.name, "stype": str(self.stype), "dtype": self.dtype}
        if self.sql is not None:
            value["sql"] = self.sql
        return value


@dataclass(frozen=True, kw_only=True)
class ForeignKey:
    """Columns whose values name a row of `table`, by its primary key or by the candidate key `to`."""

    columns: tuple[str, ...]
    table: str
    to: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The key's columns joined by ``+``; what edge types and messages call it."""
        return "+".join(self.columns)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"columns": list(self.columns), "table": self.table, "to": list(self.to)}


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table. ``kind="edge"`` makes its rows edges between the two rows they link, not nodes of their own."""

    name: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...] = ()
    candidate_keys: tuple[tuple[str, ...], ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    time_column: str | None = None
    kind: Literal["node", "edge"] = "node"

    def __contains__(self, column: str) -> bool:
        return any(c.name == column for c in self.columns)

    def __getitem__(self, column: str) -> Column:
        for c in self.columns:
            if c.name == column:
                return c
        raise SchemaError(
            f"table '{self.name}' has no column '{column}'",
            hint=did_you_mean(column, self.column_names, "columns"),
        )

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names in the order of the source."""
        return tuple(c.name for c in self.columns)

    @property
    def keys(self) -> tuple[tuple[str, ...], ...]:
        """The primary key, if any, and the other candidate keys."""
        return ((self.primary_key,) if self.primary_key else ()) + self.candidate_keys

    @property
    def features(self) -> tuple[Column, ...]:
        """Columns the model sees: neither keys nor ignored, and not the time column, which has its own encoding."""
        return tuple(c for c in self.columns if c.stype.is_feature and c.name != self.time_column)

    def edge_type(self, key: ForeignKey) -> EdgeType:
        """The edge type of one of this table's foreign keys."""
        return EdgeType(self.name, f"f2p_{key.name}", key.table)

    def to_dict(self) -> dict[str, Any]:
        """Plain values; the inverse of `from_dict`."""
        return {
            "columns": [c.to_dict() for c in self.columns],
            "primary_key": list(self.primary_key),
            "candidate_keys": [list(k) for k in self.candidate_keys],
            "foreign_keys": [k.to_dict() for k in self.foreign_keys],
            "time_column": self.time_column,
            "kind": self.kind,
        }

    @classmethod
    def from_dict(cls, name: str, value: Mapping[str, Any]) -> Table:
        """Rebuild a table from `to_dict`."""
        return cls(
            name=name,
            columns=tuple(Column(**{**c, "stype": Stype(c["stype"])}) for c in value["columns"]),
            primary_key=tuple(value["primary_key"]),
            candidate_keys=tuple(tuple(k) for k in value["candidate_keys"]),
            foreign_keys=tuple(
                ForeignKey(columns=tuple(k["columns"]), table=k["table"], to=tuple(k["to"]))
                for k in value["foreign_keys"]
            ),
            time_column=value["time_column"],
            kind=value["kind"],
        )


@dataclass(frozen=True)
class Schema:
    """All tables of a project, in the order of the source."""

    tables: Mapping[str, Table] = field(default_factory=dict)

    def __getitem__(self, table: str) -> Table:
        if table not in self.tables:
            raise SchemaError(f"there is no table '{table}'", hint=did_you_mean(table, self.tables, "tables"))
        return self.tables[table]

    def __iter__(self) -> Iterator[Table]:
        return iter(self.tables.values())

    def __len__(self) -> int:
        return len(self.tables)

    def __contains__(self, table: str) -> bool:
        return table in self.tables

    @property
    def edge_types(self) -> tuple[EdgeType, ...]:
        """Every foreign key as a typed edge, in table order."""
        return tuple(t.edge_type(k) for t in self for k in t.foreign_keys)

    def key_of(self, key: ForeignKey) -> tuple[str, ...]:
        """The columns of the target table that `key` points to."""
        return key.to or self[key.table].primary_key

    def replace(self, **tables: Table) -> Schema:
        """A copy with some tables exchanged or added."""
        return Schema({**self.tables, **tables})

    def with_stype(self, table: str, column: str, stype: Stype) -> Schema:
        """A copy in which one column means something else."""
        old = self[table]
        old[column]  # a clear error for an unknown name
        columns = tuple(replace(c, stype=stype) if c.name == column else c for c in old.columns)
        return self.replace(**{table: replace(old, columns=columns)})

    def neighbours(self) -> dict[str, set[str]]:
        """Undirected adjacency of node tables; an edge table counts as one edge between its two targets."""
        near: dict[str, set[str]] = {t.name: set() for t in self if t.kind == "node"}
        for t in self:
            targets = [k.table for k in t.foreign_keys]
            pairs = [(t.name, k) for k in targets] if t.kind == "node" else [(targets[0], targets[-1])]
            for a, b in pairs:
                if a in near and b in near and a != b:
                    near[a].add(b)
                    near[b].add(a)
        return near

    def components(self) -> list[set[str]]:
        """Groups of node tables connected by links, the largest first."""
        near, seen, groups = self.neighbours(), set[str](), []
        for start in near:
            if start in seen:
                continue
            group, todo = set[str](), [start]
            while todo:
                t = todo.pop()
                if t not in group:
                    group.add(t)
                    todo.extend(near[t])
            seen |= group
            groups.append(group)
        return sorted(groups, key=len, reverse=True)

    def eccentricity(self, table: str) -> int:
        """How many links the farthest table reachable from `table` is away."""
        near, distance = self.neighbours(), {table: 0}
        todo = [table]
        for t in todo:
            for n in sorted(near.get(t, ())):
                if n not in distance:
                    distance[n] = distance[t] + 1
                    todo.append(n)
        return max(distance.values())

    def diameter(self) -> int:
        """The longest shortest path between two connected tables, in links."""
        return max((self.eccentricity(t) for t in self.neighbours()), default=0)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and YAML."""
        return {t.name: t.to_dict() for t in self}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Schema:
        """Rebuild a schema from `to_dict`."""
        return cls({name: Table.from_dict(name, t) for name, t in value.items()})
