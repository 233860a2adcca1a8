"""A query after binding: every name looked up in the schema, every window and type known."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from foreknow.errors import Finding
from foreknow.schema.table import Column, ForeignKey, Table
from foreknow.task.query.duration import Duration
from foreknow.task.query.syntax import Operator, Query, Span, Value
from foreknow.types import TaskType

__all__ = [
    "BoundAggregation",
    "BoundColumn",
    "BoundCondition",
    "BoundQuery",
    "BoundTest",
    "BoundWindow",
    "Combined",
    "Function",
    "Hop",
    "Kind",
    "Negated",
    "Path",
]


class Function(StrEnum):
    """Aggregation functions."""

    COUNT = "COUNT"
    COUNT_DISTINCT = "COUNT_DISTINCT"
    SUM = "SUM"
    AVG = "AVG"
    MIN = "MIN"
    MAX = "MAX"
    FIRST = "FIRST"
    LAST = "LAST"
    LIST_DISTINCT = "LIST_DISTINCT"
    EXISTS = "EXISTS"


class Kind(StrEnum):
    """What a column's values can be used for: its stype, or its storage where the stype says nothing."""

    NUMERIC = "numeric"
    CATEGORICAL = "categorical"
    BOOLEAN = "boolean"
    KEY = "key"
    TIME = "time"
    TEXT = "text"
    LIST = "list"


@dataclass(frozen=True)
class Hop:
    """One foreign key walked forward: from `table` along `key` to ``key.table``."""

    table: str
    key: ForeignKey


Path = tuple[Hop, ...]


@dataclass(frozen=True, kw_only=True)
class BoundColumn:
    """A column, and the foreign keys that lead to its table (none for the table one stands in)."""

    table: Table
    column: Column
    kind: Kind
    path: Path
    span: Span


@dataclass(frozen=True)
class BoundWindow:
    """``(t + start, t + end]``; `start` None is the beginning of time."""

    start: Duration | None
    end: Duration


@dataclass(frozen=True, kw_only=True)
class BoundAggregation:
    """An aggregation with its path to the entity.

    ``alternatives`` are other paths there are; ``column`` is None for ``table.*``.
    """

    function: Function
    table: Table
    column: Column | None
    kind: Kind | None
    path: Path
    alternatives: tuple[Path, ...]
    where: BoundCondition | None
    window: BoundWindow
    span: Span


@dataclass(frozen=True, kw_only=True)
class BoundTest:
    """A condition on one operand; ``bare`` is the operand alone."""

    operator: Operator
    operand: BoundAggregation | BoundColumn
    values: tuple[Value, ...]
    negated: bool
    span: Span


@dataclass(frozen=True, kw_only=True)
class Combined:
    """Parts joined by AND or OR."""

    operator: Literal["AND", "OR"]
    parts: tuple[BoundCondition, ...]


@dataclass(frozen=True, kw_only=True)
class Negated:
    """NOT of a part."""

    part: BoundCondition


BoundCondition = BoundTest | Combined | Negated


@dataclass(frozen=True, kw_only=True)
class BoundQuery:
    """What a query means.

    Attributes:
        query: As it was written.
        entity: Table whose rows are predicted for, by its primary key.
        target: The value; a `BoundTest` with operator ``bare`` if it is an aggregation or column alone.
        type: Task type.
        metric: Default metric.
        label_type: DuckDB type of the label; ``[]`` behind it for lists.
        is_static: Whether the target is made of columns of the entity table.
        num_outputs: Numbers per label of a FORECAST, else 1.
        top: The k of RANK TOP k.
        among: Which items are ranked.
        item: For link tasks, the foreign key whose keys are predicted.
        where: Condition known at the seed time.
        assuming: Condition that comes true after it.
        every: Step of the grid, if the query says one.
        findings: Warnings.
    """

    query: Query
    entity: Table
    target: BoundCondition
    type: TaskType
    metric: str
    label_type: str
    is_static: bool
    num_outputs: int = 1
    top: int | None = None
    among: Literal["ALL", "NEW", "PAST"] = "ALL"
    item: ForeignKey | None = None
    where: BoundCondition | None = None
    assuming: BoundCondition | None = None
    every: Duration | None = None
    findings: tuple[Finding, ...] = field(default=())

    @property
    def target_columns(self) -> tuple[str, ...]:
        """Columns of the entity table a static target is made of; they may be no features."""
        columns = (o for o in operands(self.target) if isinstance(o, BoundColumn))
        return tuple(dict.fromkeys(c.column.name for c in columns))

    @property
    def horizons(self) -> tuple[Duration, ...]:
        """Ends of all windows after the seed time; the horizon at a seed time is the latest of them."""
        ends = []
        for part in (self.target, self.assuming):
            for a in aggregations(part):
                end = a.window.end
                if part is self.target and self.num_outputs > 1 and a.window.start is not None:
                    end = end + (a.window.end - a.window.start) * (self.num_outputs - 1)
                ends.append(end)
        return tuple(dict.fromkeys(ends))

    @property
    def label_tables(self) -> tuple[str, ...]:
        """Tables whose later rows labels are made of: those of the target and of ASSUMING."""
        found = (a.table.name for part in (self.target, self.assuming) for a in aggregations(part))
        return tuple(dict.fromkeys(found))

    @property
    def target_tables(self) -> tuple[str, ...]:
        """Tables the target aggregates."""
        return tuple(dict.fromkeys(a.table.name for a in aggregations(self.target)))


def operands(condition: BoundCondition | None) -> list[BoundAggregation | BoundColumn]:
    """What a condition is about, from left to right."""
    if condition is None:
        return []
    if isinstance(condition, BoundTest):
        return [condition.operand]
    parts = condition.parts if isinstance(condition, Combined) else (condition.part,)
    return [o for p in parts for o in operands(p)]


def aggregations(condition: BoundCondition | None) -> list[BoundAggregation]:
    """The aggregations of a condition, from left to right."""
    return [o for o in operands(condition) if isinstance(o, BoundAggregation)]
