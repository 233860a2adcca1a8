"""The syntax tree of a predictive query: what was written, with its place in the text, and nothing looked up.

Every node has a `Span`. Names are as written (`Name.quoted` tells ``"x"`` from ``x``), numbers stay texts.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Literal, NamedTuple

__all__ = [
    "Aggregation",
    "Bound",
    "Column",
    "Combination",
    "Entity",
    "Expression",
    "Forecast",
    "Moment",
    "Name",
    "Negation",
    "Operand",
    "Output",
    "Query",
    "Source",
    "Span",
    "Step",
    "Test",
    "Value",
    "Window",
]


class Span(NamedTuple):
    """Characters ``start`` to ``end`` (exclusive) of the query."""

    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class Name:
    """A table or column name as written; `quoted` if in double quotes, which are taken off."""

    text: str
    quoted: bool
    span: Span


@dataclass(frozen=True, kw_only=True)
class Column:
    """``table.column``."""

    table: Name
    column: Name
    span: Span


@dataclass(frozen=True, kw_only=True)
class Source:
    """What is aggregated: ``table.column``, or ``table.*`` with `column` None."""

    table: Name
    column: Name | None
    span: Span


@dataclass(frozen=True, kw_only=True)
class Bound:
    """One end of a window as written: a number, or ``-INF``."""

    text: str
    span: Span

    @property
    def is_infinite(self) -> bool:
        """Whether it is INF of either sign."""
        return "inf" in self.text.lower()


@dataclass(frozen=True, kw_only=True)
class Window:
    """``, start, end, unit``; `unit` is None if left out."""

    start: Bound
    end: Bound
    unit: Name | None
    span: Span


@dataclass(frozen=True, kw_only=True)
class Aggregation:
    """``FUNC(source VIA ... WHERE ..., start, end, unit)``; any word may stand for the function."""

    function: Name
    source: Source
    via: tuple[Column, ...]
    where: Expression | None
    window: Window | None
    span: Span


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A time written as DATE, TIMESTAMP or bare; UTC. None if it is none."""

    time: dt.datetime | None
    text: str


@dataclass(frozen=True, kw_only=True)
class Value:
    """A literal: a number as its text, a text, a truth value, NULL or a moment."""

    kind: Literal["number", "text", "boolean", "null", "moment"]
    value: str | bool | Moment | None
    span: Span


Operand = Aggregation | Column

Operator = Literal[
    "bare", "=", "!=", "<", "<=", ">", ">=", "is null", "in", "between", "like", "starts with", "ends with", "contains"
]


@dataclass(frozen=True, kw_only=True)
class Test:
    """A condition on one operand. ``bare`` is the operand alone, which must be a truth value (or is the target)."""

    __test__ = False  # pytest takes classes of this name for tests

    operator: Operator
    operand: Operand
    values: tuple[Value, ...]
    negated: bool
    span: Span


@dataclass(frozen=True, kw_only=True)
class Combination:
    """Parts joined by AND or by OR."""

    operator: Literal["AND", "OR"]
    parts: tuple[Expression, ...]
    span: Span


@dataclass(frozen=True, kw_only=True)
class Negation:
    """NOT of a part."""

    part: Expression
    span: Span


Expression = Test | Combination | Negation


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """``FORECAST n TIMEFRAMES``."""

    number: Bound
    span: Span


@dataclass(frozen=True, kw_only=True)
class Output:
    """``CLASSIFY``, or ``RANK TOP k AMONG ...``."""

    kind: Literal["CLASSIFY", "RANK"]
    top: Bound | None
    among: Literal["ALL", "NEW", "PAST"]
    span: Span


@dataclass(frozen=True, kw_only=True)
class Entity:
    """``FOR EACH table.key``, or ids with ``=`` and IN; `ids` is None if none are given."""

    each: bool
    column: Column
    ids: tuple[Value, ...] | None
    ids_span: Span
    span: Span


@dataclass(frozen=True, kw_only=True)
class Step:
    """``EVERY n unit``; `span` is that of number and unit."""

    number: Bound
    unit: Name
    span: Span


@dataclass(frozen=True, kw_only=True)
class Query:
    """A whole query. `where_at` and `assuming_at` are the places of these words."""

    text: str
    target: Expression
    forecast: Forecast | None
    output: Output | None
    entity: Entity
    where: Expression | None
    where_at: Span
    assuming: Expression | None
    assuming_at: Span
    every: Step | None
    as_of: Value | None
