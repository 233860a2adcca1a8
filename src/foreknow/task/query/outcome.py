"""What kind of value a target gives: task type, label type, default metric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from foreknow.schema.table import ForeignKey, Table
from foreknow.task.metric import default_metric
from foreknow.task.query.bound import BoundAggregation, BoundColumn, BoundCondition, BoundTest, Function, Kind, operands
from foreknow.task.query.names import Marks
from foreknow.task.query.syntax import Query
from foreknow.task.query.values import Family, family_of
from foreknow.task.query.windows import whole_number
from foreknow.types import TaskType

__all__ = ["MAX_OUTPUTS", "Outcome", "find_outcome"]

MAX_OUTPUTS = 1_000

_KIND_TYPES = {
    Kind.NUMERIC: TaskType.REGRESSION,
    Kind.BOOLEAN: TaskType.BINARY,
    Kind.CATEGORICAL: TaskType.MULTICLASS,
}
_FORECAST = (Function.COUNT, Function.COUNT_DISTINCT, Function.SUM)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """As the fields of `BoundQuery` of the same names."""

    type: TaskType
    label_type: str
    metric: str
    num_outputs: int = 1
    top: int | None = None
    among: Literal["ALL", "NEW", "PAST"] = "ALL"
    item: ForeignKey | None = None


def find_outcome(query: Query, entity: Table, target: BoundCondition, is_static: bool, marks: Marks) -> Outcome | None:
    """The outermost operation decides. What can't be predicted is marked, and None."""
    bare = target.operand if isinstance(target, BoundTest) and target.operator == "bare" else None
    before = len(marks.found)
    if is_static:
        _check_columns(target, marks)
    num_outputs = _num_outputs(query, bare, marks)
    if query.output is not None and not _is_list(bare):
        message = f"{query.output.kind} goes with LIST_DISTINCT alone"
        marks.add("Q20", query.output.span, message, "leave it out, or predict LIST_DISTINCT(...)")
    if len(marks.found) > before:
        return None
    if isinstance(bare, BoundColumn):
        assert bare.kind in _KIND_TYPES
        return _plain(_KIND_TYPES[bare.kind], bare.column.dtype)
    if bare is None or family_of(bare) is Family.BOOLEAN:
        return _plain(TaskType.BINARY, "BOOLEAN")
    if bare.function is Function.LIST_DISTINCT:
        return _list_outcome(query, bare, marks)
    if bare.function in (Function.FIRST, Function.LAST):
        assert bare.column is not None
        assert bare.kind is not None
        return _plain(_KIND_TYPES[bare.kind], bare.column.dtype)
    metric = default_metric(TaskType.REGRESSION)
    label_type = "DOUBLE" if num_outputs == 1 else "DOUBLE[]"
    return Outcome(type=TaskType.REGRESSION, label_type=label_type, metric=metric, num_outputs=num_outputs)


def _is_list(bare: BoundAggregation | BoundColumn | None) -> bool:
    return isinstance(bare, BoundAggregation) and bare.function is Function.LIST_DISTINCT


def _plain(type_: TaskType, dtype: str) -> Outcome:
    label_type = {TaskType.BINARY: "BOOLEAN", TaskType.REGRESSION: "DOUBLE"}.get(type_, dtype)
    return Outcome(type=type_, label_type=label_type, metric=default_metric(type_))


def _check_columns(target: BoundCondition, marks: Marks) -> None:
    """Refuse keys, times, free text and lists as static targets."""
    is_bare = isinstance(target, BoundTest) and target.operator == "bare"
    for operand in operands(target):
        assert isinstance(operand, BoundColumn)
        refused = {Kind.KEY: "a key", Kind.TIME: "a time column", Kind.TEXT: "free text", Kind.LIST: "a list"}
        if operand.kind in refused and (is_bare or operand.kind in (Kind.KEY, Kind.TIME)):
            place = operand.span
            column = place._replace(start=place.end - len(marks.source(place).split(".", 1)[1]))
            what = refused[operand.kind]
            hint = "predict COUNT or EXISTS in a window instead"
            marks.add("Q22", column, f"{what} cannot be a target", hint)


def _num_outputs(query: Query, bare: BoundAggregation | BoundColumn | None, marks: Marks) -> int:
    if query.forecast is None:
        return 1
    number = whole_number(query.forecast.number, marks, what="FORECAST", least=1)
    if not isinstance(bare, BoundAggregation) or bare.function not in _FORECAST:
        message = "FORECAST goes with COUNT, COUNT_DISTINCT or SUM alone"
        marks.add("Q27", query.forecast.span, message, "leave it out, or predict one of these")
        return 1
    if number is not None and number > MAX_OUTPUTS:
        marks.add("Q26", query.forecast.span, f"FORECAST goes up to {MAX_OUTPUTS:,}", "ask for fewer")
    return number or 1


def _list_outcome(query: Query, bare: BoundAggregation, marks: Marks) -> Outcome | None:
    assert bare.column is not None
    label_type = f"{bare.column.dtype}[]"
    if query.output is None:
        span = bare.span._replace(end=bare.span.start + len(Function.LIST_DISTINCT))
        message, hint = "LIST_DISTINCT needs CLASSIFY or RANK TOP k", "add one after the closing bracket"
        marks.add("Q20", span, message, hint)
        return None
    multilabel = default_metric(TaskType.MULTILABEL)
    if query.output.kind == "CLASSIFY":
        return Outcome(type=TaskType.MULTILABEL, label_type=label_type, metric=multilabel)
    assert query.output.top is not None
    top = whole_number(query.output.top, marks, what="RANK TOP", least=1)
    if top is None:
        return None
    item = next((k for k in bare.table.foreign_keys if k.columns == (bare.column.name,)), None)
    if item is None:
        if bare.kind is Kind.KEY:
            message = f"RANK needs a foreign key or a categorical column; '{bare.column.name}' is another key"
            marks.add("Q20", query.output.span, message, "rank a column that points to the items")
            return None
        if query.output.among != "ALL":
            message = f"AMONG {query.output.among} goes with foreign keys; '{bare.column.name}' is {bare.kind}"
            marks.add("Q20", query.output.span, message, "leave AMONG out")
            return None
        return Outcome(type=TaskType.MULTILABEL, label_type=label_type, metric=multilabel, top=top)
    repeated = query.output.among == "PAST"
    return Outcome(
        type=TaskType.REPEATED_LINK if repeated else TaskType.LINK,
        label_type=label_type,
        metric=f"link_prediction_map@{top}",
        top=top,
        among=query.output.among,
        item=item,
    )
