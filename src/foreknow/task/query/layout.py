"""What a query's SQL starts from: columns of its task tables, its seed times, and who takes part by being active."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from foreknow.task.query.bound import (
    BoundAggregation,
    BoundCondition,
    BoundQuery,
    BoundTest,
    BoundWindow,
    Combined,
    Function,
    aggregations,
)
from foreknow.task.query.duration import Duration
from foreknow.task.query.expressions import name_sql, stamp_sql
from foreknow.task.query.syntax import Span

__all__ = ["Layout", "layout_of", "seed_times_sql", "with_activity"]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Columns of the task tables: the entity's primary key, seed time (None for tasks without time) and label."""

    keys: tuple[str, ...]
    time: str | None
    label: str


def layout_of(bound: BoundQuery) -> Layout:
    """How the columns of a query's task tables are called."""
    keys = bound.entity.primary_key
    taken = {k.lower() for k in keys}
    time, label = (name if name not in taken else f"{name}_of_query" for name in ("seed_time", "label"))
    has_time = not bound.is_static or bound.entity.time_column is not None
    return Layout(keys=keys, time=time if has_time else None, label=label)


def with_activity(bound: BoundQuery, within: Duration) -> BoundQuery:
    """Keep only entities with a row in each target table so long before the seed time."""
    seen = dict.fromkeys((a.table.name, a.path) for a in aggregations(bound.target))
    tables = {a.table.name: a.table for a in aggregations(bound.target)}
    tests: list[BoundCondition] = [
        BoundTest(
            operator="bare",
            operand=BoundAggregation(
                function=Function.EXISTS,
                table=tables[name],
                column=None,
                kind=None,
                path=path,
                alternatives=(),
                where=None,
                window=BoundWindow(within * -1, Duration(unit=within.unit)),
                span=Span(0, 0),
            ),
            values=(),
            negated=False,
            span=Span(0, 0),
        )
        for name, path in seen
    ]
    parts = tests if bound.where is None else [bound.where, *tests]
    return replace(bound, where=parts[0] if len(parts) == 1 else Combined(operator="AND", parts=tuple(parts)))


def seed_times_sql(seeds: Sequence[int], name: str = "seed_time") -> str:
    """SELECT of seed times, one per row."""
    steps = {b - a for a, b in itertools.pairwise(seeds)}
    if len(seeds) > 3 and len(steps) == 1:
        step = Duration(seconds=steps.pop()).sql()
        series = f"generate_series({stamp_sql(seeds[0])}, {stamp_sql(seeds[-1])}, {step})"
        return f"SELECT unnest({series}) AS {name_sql(name)}"
    values = ", ".join(f"({stamp_sql(t)})" for t in seeds)
    return f"SELECT * FROM (VALUES {values}) AS t({name_sql(name)})"
