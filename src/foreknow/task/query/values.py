"""Literals and what they may be compared with."""

from __future__ import annotations

import math
from enum import Enum

from foreknow.schema.table import Column
from foreknow.source.time import is_instant
from foreknow.task.query.bound import BoundAggregation, BoundColumn, Function, Kind
from foreknow.task.query.names import Marks, is_number
from foreknow.task.query.parse import read_moment
from foreknow.task.query.syntax import Moment, Test, Value

__all__ = ["Family", "check_id", "check_moment", "check_values", "family_of", "storage_family"]


class Family(Enum):
    """What values of an operand can be compared with. The value is how a message calls a literal to use."""

    NUMBER = "a number"
    TEXT = "a text in single quotes"
    BOOLEAN = "TRUE or FALSE"
    TIME = "a date, e.g. '2024-01-31'"
    LIST = "CONTAINS"


_TEXT_OPERATORS = ("like", "starts with", "ends with")
_ORDERED = ("<", "<=", ">", ">=", "between")
_COUNTS = (Function.COUNT, Function.COUNT_DISTINCT)
_NUMBERS = (*_COUNTS, Function.SUM, Function.AVG, Function.MIN, Function.MAX)


def family_of(operand: BoundAggregation | BoundColumn) -> Family:
    """What an operand's value can be compared with."""
    if isinstance(operand, BoundAggregation):
        if operand.function is Function.EXISTS:
            return Family.BOOLEAN
        if operand.function in _NUMBERS:
            return Family.NUMBER
        if operand.function is Function.LIST_DISTINCT:
            return Family.LIST
    assert operand.column is not None
    assert operand.kind is not None
    return _column_family(operand.column, operand.kind)


def storage_family(column: Column) -> Family:
    """By storage alone."""
    if is_number(column.dtype):
        return Family.NUMBER
    if column.dtype == "BOOLEAN":
        return Family.BOOLEAN
    if column.dtype.endswith("]"):
        return Family.LIST
    return Family.TIME if is_instant(column.dtype) and column.dtype != "VARCHAR" else Family.TEXT


def _column_family(column: Column, kind: Kind) -> Family:
    given = {Kind.NUMERIC: Family.NUMBER, Kind.BOOLEAN: Family.BOOLEAN, Kind.TIME: Family.TIME, Kind.LIST: Family.LIST}
    return given.get(kind) or storage_family(column)


def check_values(test: Test, operand: BoundAggregation | BoundColumn, family: Family, marks: Marks) -> bool:
    """Mark literals that can't be compared with the operand, and operators that don't fit it."""
    before = len(marks.found)
    is_count = isinstance(operand, BoundAggregation) and operand.function in (*_COUNTS, Function.EXISTS)
    if test.operator == "is null":
        if is_count:
            assert isinstance(operand, BoundAggregation)
            hint = "write = 0" if operand.function in _COUNTS else "write NOT EXISTS(...)"
            marks.add("Q18", test.span, f"{operand.function} always has a value: IS NULL is never true", hint)
        return len(marks.found) == before
    nulls = [v for v in test.values if v.kind == "null"]
    for value in nulls:
        _mark_null(test, value, marks)
    if test.operator == "contains" and isinstance(operand, BoundAggregation) and family is Family.LIST:
        assert operand.column is not None
        family = storage_family(operand.column)
    elif family is Family.LIST:
        hint = "add CONTAINS and a value" if isinstance(operand, BoundAggregation) else "compare another column"
        marks.add("Q17", test.span, f"a list can't be compared: {_name(operand)}", hint)
        return False
    elif (test.operator in _TEXT_OPERATORS or test.operator == "contains") and family is not Family.TEXT:
        word = test.operator.upper()
        marks.add("Q17", test.span, f"{word} needs a text; {_name(operand)} is none", f"compare it with {family.value}")
        return False
    if family is Family.BOOLEAN and test.operator in _ORDERED:
        marks.add("Q17", test.span, f"truth values have no order: {_name(operand)}", "use = TRUE or = FALSE")
    for value in test.values:
        if value.kind != "null" and not _fits(value, family):
            what = "compare" if test.operator != "contains" else "look for"
            message = f"cannot {what} {_name(operand)} with {_shown(value)}"
            marks.add("Q17", value.span, message, f"use {family.value}")
    return len(marks.found) == before


def check_id(column: Column, value: Value, marks: Marks) -> None:
    """Mark an id that can't be one of a key column."""
    family = storage_family(column)
    if value.kind == "null":
        marks.add("Q18", value.span, "NULL is no id", "remove it")
    elif not _fits(value, family):
        message = f"cannot compare key '{column.name}' with {_shown(value)}"
        marks.add("Q17", value.span, message, f"use {family.value}")


def check_moment(value: Value | None, marks: Marks) -> None:
    """Mark an AS OF that is no time."""
    if value is not None and not _fits(value, Family.TIME):
        marks.add("Q17", value.span, f"{_shown(value)} is no time", f"use {Family.TIME.value}")


def _mark_null(test: Test, value: Value, marks: Marks) -> None:
    if test.operator in ("=", "!=", "<", "<=", ">", ">="):
        hint = "write IS NOT NULL" if test.operator == "!=" else "write IS NULL"
        marks.add("Q18", value.span, f"{test.operator} NULL is never true", hint)
    else:
        marks.add("Q18", value.span, f"NULL in {test.operator.upper()} is never matched", "remove it; write IS NULL")


def _fits(value: Value, family: Family) -> bool:
    if family is Family.NUMBER:
        return value.kind == "number" and math.isfinite(float(str(value.value)))
    if family is Family.BOOLEAN:
        return value.kind == "boolean"
    if family is Family.TIME:
        return moment_of(value) is not None
    return value.kind == "text"


def moment_of(value: Value) -> Moment | None:
    """A literal as a moment, if it is one that exists."""
    if isinstance(value.value, Moment):
        return value.value if value.value.time is not None else None
    if value.kind != "text":
        return None
    text = str(value.value)
    time = read_moment(text)
    return None if time is None else Moment(time=time, text=text)


def _shown(value: Value) -> str:
    if value.kind == "text":
        return f"the text '{value.value}'"
    if value.kind == "number":
        return f"the number {value.value}"
    if isinstance(value.value, Moment):
        return f"the date {value.value.text}"
    return str(value.value).upper()


def _name(operand: BoundAggregation | BoundColumn) -> str:
    if isinstance(operand, BoundAggregation):
        return f"{operand.function} of '{operand.column.name if operand.column else operand.table.name}'"
    return f"{operand.kind} '{operand.column.name}'"
