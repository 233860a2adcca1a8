"""What a condition says of entities without any row in its windows, found out without data."""

from __future__ import annotations

import operator
from collections.abc import Callable

from foreknow.task.query.bound import (
    BoundAggregation,
    BoundCondition,
    BoundTest,
    Combined,
    Function,
    Negated,
)
from foreknow.task.query.syntax import Value

__all__ = ["is_true_when_empty"]

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_ZERO = (Function.COUNT, Function.COUNT_DISTINCT, Function.SUM)


def is_true_when_empty(condition: BoundCondition) -> bool | None:
    """The condition's truth if nothing is aggregated; None is unknown, as in SQL. Conditions on aggregations only."""
    if isinstance(condition, Negated):
        inner = is_true_when_empty(condition.part)
        return None if inner is None else not inner
    if isinstance(condition, Combined):
        parts = [is_true_when_empty(p) for p in condition.parts]
        decided = condition.operator == "OR"
        if decided in parts:
            return decided
        return None if None in parts else not decided
    return _test(condition)


def _test(test: BoundTest) -> bool | None:
    assert isinstance(test.operand, BoundAggregation)
    function = test.operand.function
    if test.operator == "in" and not test.values:
        return test.negated
    if test.operator == "is null":
        return not test.negated
    if function is Function.EXISTS:
        if test.operator == "bare":
            return False
        wanted = [v.value for v in test.values]
        return _negate(test, (False in wanted) == (test.operator in ("=", "in")))
    if test.operator == "contains" and function is Function.LIST_DISTINCT:
        return _negate(test, False)
    if function not in _ZERO:
        return None
    numbers = [_number(v) for v in test.values]
    if test.operator == "in":
        return _negate(test, 0.0 in numbers)
    if test.operator == "between":
        return _negate(test, numbers[0] <= 0 <= numbers[1])
    return _COMPARE[test.operator](0.0, numbers[0])


def _number(value: Value) -> float:
    return float(str(value.value))


def _negate(test: BoundTest, value: bool) -> bool:
    return value != test.negated
