"""SQL of the parts of a condition: columns, literals, tests. Three-valued logic is DuckDB's own."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from functools import cache

import duckdb

from foreknow.schema.table import Column
from foreknow.source.sql import literal, quote
from foreknow.source.time import utc_sql
from foreknow.task.query.bound import (
    BoundAggregation,
    BoundColumn,
    BoundCondition,
    BoundTest,
    Combined,
    Function,
    Kind,
    Negated,
)
from foreknow.task.query.names import is_number
from foreknow.task.query.syntax import Value
from foreknow.task.query.values import Family, family_of, moment_of, storage_family

__all__ = ["column_sql", "condition_sql", "name_sql", "stamp_sql", "value_sql"]

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

Operand = BoundAggregation | BoundColumn


@cache
def _keywords() -> frozenset[str]:
    with duckdb.connect() as connection:
        return frozenset(r[0] for r in connection.execute("SELECT keyword_name FROM duckdb_keywords()").fetchall())


def name_sql(name: str) -> str:
    """A name, in quotes only where it needs them: this SQL is shown to people."""
    return name if _PLAIN.fullmatch(name) and name.lower() not in _keywords() else quote(name)


def stamp_sql(seconds: int) -> str:
    """A moment as a literal; the time of day only if it isn't midnight."""
    at = dt.datetime(1970, 1, 1) + dt.timedelta(seconds=seconds)
    day = f"{at.year:04}-{at:%m-%d}"
    return f"TIMESTAMP '{day}'" if seconds % 86_400 == 0 else f"TIMESTAMP '{day} {at:%H:%M:%S}'"


def column_sql(expression: str, column: Column, kind: Kind) -> str:
    """A column's value as its kind: NaN is NULL, as everywhere; numbers kept as text are read."""
    if kind is Kind.NUMERIC and not is_number(column.dtype):
        expression = f"TRY_CAST({expression} AS DOUBLE)"
        return f"nullif({expression}, 'nan')"
    if kind is Kind.BOOLEAN and column.dtype != "BOOLEAN":
        return f"TRY_CAST({expression} AS BOOLEAN)"
    if kind is Kind.TIME:
        return utc_sql(expression, column.dtype)
    return f"nullif({expression}, 'nan')" if column.dtype in ("FLOAT", "DOUBLE") else expression


def value_sql(value: Value, family: Family) -> str:
    """A literal."""
    if family is Family.TIME:
        moment = moment_of(value)
        assert moment is not None
        assert moment.time is not None
        whole = moment.time.replace(tzinfo=None)
        return literal(whole.isoformat(sep=" ")).join(["TIMESTAMP ", ""])
    if value.kind == "number":
        text = str(value.value)
        return text.lstrip("+") if re.fullmatch(r"[+-]?\d{1,18}", text) else repr(float(text))
    if value.kind == "boolean":
        return str(value.value).lower()
    return literal(str(value.value))


def condition_sql(condition: BoundCondition, render: Callable[[Operand], str]) -> str:
    """A condition, given the SQL of its operands (NULL for nothing to aggregate)."""
    if isinstance(condition, Negated):
        return f"NOT ({condition_sql(condition.part, render)})"
    if isinstance(condition, Combined):
        parts = [condition_sql(p, render) for p in condition.parts]
        wrapped = [
            f"({text})" if isinstance(p, Combined) and p.operator != condition.operator else text
            for p, text in zip(condition.parts, parts, strict=True)
        ]
        return f" {condition.operator} ".join(wrapped)
    return _test_sql(condition, render)


def filled_sql(operand: Operand, raw: str) -> str:
    """An operand's value where nothing to aggregate is zero or false."""
    if not isinstance(operand, BoundAggregation):
        return raw
    if operand.function is Function.EXISTS:
        return f"coalesce({raw}, 0) > 0"
    if operand.function in (Function.COUNT, Function.COUNT_DISTINCT, Function.SUM):
        return f"coalesce({raw}, 0)"
    return raw


def _test_sql(test: BoundTest, render: Callable[[Operand], str]) -> str:
    raw, operand = render(test.operand), test.operand
    family = family_of(operand)
    no = "NOT " if test.negated else ""
    if test.operator == "is null":
        return f"{raw} IS {no}NULL"
    if test.operator == "contains" and family is Family.LIST:
        assert operand.column is not None
        element = storage_family(operand.column)
        item = _as_text(value_sql(test.values[0], element), element, operand.column)
        return f"{no}coalesce(list_contains({raw}, {item}), false)"
    value = filled_sql(operand, raw)
    if test.operator == "bare":
        return value
    if isinstance(operand, BoundAggregation) and operand.function is Function.EXISTS:
        value = f"({value})"
    if family is Family.TEXT and operand.column is not None and operand.column.dtype != "VARCHAR":
        value = f"CAST({value} AS VARCHAR)"
    values = [value_sql(v, family) for v in test.values]
    if test.operator == "in":
        if not values:
            return "true" if test.negated else "false"
        return f"{value} {no}IN ({', '.join(values)})"
    if test.operator == "between":
        return f"({value} {no}BETWEEN {values[0]} AND {values[1]})"
    if test.operator == "like":
        return f"{value} {no}LIKE {values[0]}"
    functions = {"starts with": "starts_with", "ends with": "ends_with", "contains": "contains"}
    if test.operator in functions:
        return f"{no}{functions[test.operator]}({value}, {values[0]})"
    return f"{value} {test.operator} {values[0]}"


def _as_text(item: str, family: Family, column: Column) -> str:
    """A list's item in the type of its column, where a text stands for another type."""
    is_other = family is Family.TEXT and column.dtype != "VARCHAR"
    return f"TRY_CAST({item} AS {column.dtype})" if is_other else item
