"""Whom a query's task predicts for: everyone WHERE keeps at one time, listed ids, or rows without a value."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

from foreknow.errors import PredictionError, TaskError
from foreknow.predict.predictor import Predictor
from foreknow.task.query.labels import score_rows
from foreknow.task.query.layout import with_activity
from foreknow.task.query.resolve import ResolvedQuery, bind_text, time_range
from foreknow.task.split import SplitSettings
from foreknow.task.table import TaskTable, read_task_table
from foreknow.task.task import EntityTask, show_target

IN_POPULATION = "in_population"


def asks_itself(task: EntityTask, at: object | None) -> bool:
    """Whether the task's query, rather than its test table, says whom to predict for."""
    if task.query is None:
        return False
    return at is not None or "as_of" in task.settings or bool(task.hidden) or _lists_ids(task.query)


def rows_to_score(predictor: Predictor, at: int | None) -> TaskTable:
    """Rows to predict for, on the database as it is now.

    Args:
        predictor: Of a task with a query.
        at: Seed time, Unix seconds; AS OF if not given, and the end of the data if the query has none.

    Raises:
        QueryError: The query doesn't fit the schema any more.
        TaskError: Nobody is left, or listed ids don't exist.
    """
    task, snapshot = predictor.bundle.task, predictor.snapshot
    assert task.query is not None
    schema = show_target(task, predictor.bundle.schema)
    bound, settings = bind_text(task.query, schema), SplitSettings.read(task.settings)
    if settings.active_within is not None and not bound.is_static:
        bound = with_activity(bound, settings.active_within)
    if bound.is_static:
        at = None
    elif at is None:
        at = settings.as_of
    if at is None and not bound.is_static:
        spans = [time_range(snapshot, schema, t) for t in bound.label_tables]
        ends = [s[1] for s in spans if s is not None]
        if not ends:
            raise TaskError(f"'{bound.label_tables[0]}' has no row with a time", hint="say when with --at")
        at = min(ends)
    resolved = ResolvedQuery(bound=bound, schema=schema, settings=settings, grid=None)
    rows = score_rows(resolved, snapshot, at)
    table = read_task_table(snapshot, task, "prediction", rows, need_label=False)
    if IN_POPULATION in rows.column_names and len(table) == rows.num_rows:
        table = replace(table, keys=table.keys.append_column(IN_POPULATION, rows.column(IN_POPULATION)))
    return table


def _lists_ids(query: str) -> bool:
    from foreknow.task.query.parse import parse

    return parse(query).entity.ids is not None


def to_seconds(at: str | dt.datetime | dt.date | int) -> int:
    """Unix seconds of a moment; without a zone it is UTC."""
    if isinstance(at, int):
        return at
    if isinstance(at, str):
        try:
            at = dt.datetime.fromisoformat(at)
        except ValueError as e:
            raise PredictionError(f"'{at}' is no time", hint="write 2020-09-22 or 2020-09-22T12:00") from e
    if not isinstance(at, dt.datetime):
        at = dt.datetime(at.year, at.month, at.day)
    if at.tzinfo is None:
        at = at.replace(tzinfo=dt.UTC)
    return int(at.timestamp())
