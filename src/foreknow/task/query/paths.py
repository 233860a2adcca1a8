"""Foreign key paths: how the rows of one table belong to the rows of another, walking keys forward."""

from __future__ import annotations

from foreknow.schema.table import Schema
from foreknow.task.query.bound import Hop, Path

__all__ = ["MAX_HOPS", "describe_path", "paths_between", "shortest"]

MAX_HOPS = 3


def paths_between(schema: Schema, start: str, end: str) -> list[Path]:
    """All ways from one table to another of 1 to `MAX_HOPS` foreign keys, the shortest first."""
    found: list[Path] = []
    level: list[Path] = [()]
    for _ in range(MAX_HOPS):
        reached: list[Path] = []
        for path in level:
            at = path[-1].key.table if path else start
            if at in schema:
                reached += [(*path, Hop(at, key)) for key in schema[at].foreign_keys]
        found += [p for p in reached if p[-1].key.table == end]
        level = reached
    return found


def shortest(paths: list[Path]) -> list[Path]:
    """Those of the fewest hops."""
    return [p for p in paths if len(p) == len(paths[0])]


def describe_path(path: Path) -> str:
    """A path as text: ``transactions.customer_id -> customers.referred_by -> customers``."""
    return " -> ".join([*(f"{h.table}.{h.key.name}" for h in path), path[-1].key.table])
