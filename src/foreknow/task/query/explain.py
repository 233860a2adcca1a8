"""A query in plain words: what is predicted, for whom, how far ahead, along which keys."""

from __future__ import annotations

from foreknow.task.query.bound import BoundAggregation, BoundQuery, aggregations
from foreknow.task.query.paths import describe_path
from foreknow.task.query.syntax import Span
from foreknow.types import TaskType

__all__ = ["explain"]

_WHAT = {
    TaskType.BINARY: "whether it is true that",
    TaskType.REGRESSION: "the number",
    TaskType.MULTICLASS: "the class",
    TaskType.MULTILABEL: "the classes in",
    TaskType.LINK: "the keys in",
    TaskType.REPEATED_LINK: "the keys in",
}


def explain(bound: BoundQuery) -> list[str]:
    """What a query means, a line per fact."""
    query, entity = bound.query, bound.entity
    keys = ", ".join(entity.primary_key)
    lines = [f"Predicts {_WHAT[bound.type]} {_text(bound, query.target.span)} for each row of {entity.name} ({keys})."]
    if bound.num_outputs > 1:
        lines.append(f"{bound.num_outputs} windows, one after the other: a list of {bound.num_outputs} numbers.")
    if bound.top is not None:
        among = {"ALL": "", "NEW": " not seen before", "PAST": " seen before"}[bound.among]
        lines.append(f"The {bound.top} best{among} are returned.")
    if bound.is_static:
        lines.append("The target is a column: rows with a value are learnt from, rows without are predicted.")
        hidden = ", ".join(f"{entity.name}.{c}" for c in bound.target_columns)
        lines.append(f"No feature of any model: {hidden}.")
    else:
        ends = " or ".join(str(h) for h in bound.horizons)
        lines.append(f"Labels look up to {ends} ahead of each seed time t, rows with t < time <= t + {ends}.")
    for word, part, span in (
        ("Only where", bound.where, query.where),
        ("Trained and scored only where later", bound.assuming, query.assuming),
    ):
        if part is not None and span is not None:
            lines.append(f"{word} {_text(bound, span.span)}.")
    if bound.assuming is not None:
        lines.append("ASSUMING is conditioning on what happened later, not the effect of making it happen.")
    for a in dict.fromkeys(a for p in (bound.target, bound.where, bound.assuming) for a in aggregations(p)):
        lines += _path(bound, a)
    lines.append(f"Type {bound.type}, label {bound.label_type}, metric {bound.metric}.")
    return list(dict.fromkeys(lines))


def _path(bound: BoundQuery, a: BoundAggregation) -> list[str]:
    lines = [f"Rows of {a.table.name} belong to {bound.entity.name} by {describe_path(a.path)}."]
    if a.alternatives:
        shown = [describe_path(p) for p in a.alternatives[:3]]
        more = f" and {len(a.alternatives) - 3} more" if len(a.alternatives) > 3 else ""
        lines.append(f"  Other paths, with VIA: {'; '.join(shown)}{more}.")
    return lines


def _text(bound: BoundQuery, span: Span) -> str:
    return " ".join(bound.query.text[span.start : span.end].split())
