"""Labels in plain SQL: one SELECT of entity, seed time and label over ``seed_times``, split by the same grid."""

from __future__ import annotations

import re
from collections.abc import Mapping

from foreknow.errors import TaskError
from foreknow.task.query.layout import seed_times_sql
from foreknow.task.split import SplitSettings, make_grid

__all__ = ["labels_sql"]


def labels_sql(
    sql: str, ranges: Mapping[str, tuple[int, int]], settings: SplitSettings, *, where: str
) -> dict[str, str]:
    """SQL of the task table of each split.

    Args:
        sql: The SELECT; it reads seed times from a table ``seed_times`` with the one column ``seed_time``.
        ranges: First and last time of each table that has one, Unix seconds.
        settings: Splits; ``horizon`` says how far labels look ahead.
        where: Which task; for messages.

    Raises:
        TaskError: The SQL doesn't read ``seed_times``, or the splits don't fit the data.
    """
    if settings.horizon is None:
        raise TaskError(f"{where}: labels in SQL need a horizon", hint="say how far they look ahead: horizon: 30 days")
    if not _names(sql, "seed_times"):
        raise TaskError(
            f"{where}: the SQL of labels doesn't read seed_times",
            hint="join the table seed_times, whose column seed_time holds the times of a split",
        )
    used = [span for table, span in ranges.items() if _names(sql, table)]
    if not used and (settings.data_end is None or settings.start is None):
        raise TaskError(
            f"{where}: the SQL of labels reads no table with times", hint="give start and data_end for the task"
        )
    spans = used or [(0, 0)]
    grid = make_grid([settings.horizon], settings, first=min(s[0] for s in spans), last=min(s[1] for s in spans))
    if isinstance(grid, list):
        found = "; ".join(f"{p.code}: {p.message}" for p in grid)
        raise TaskError(f"{where}: {found}", hint="; ".join(p.hint for p in grid))
    body = sql.strip().rstrip(";")
    return {
        split: f"WITH seed_times AS (\n  {seed_times_sql(times)}\n)\nSELECT * FROM (\n{body}\n)"
        for split, times in grid.splits.items()
    }


def _names(sql: str, table: str) -> bool:
    """Whether a table's name stands in SQL as a word."""
    return re.search(rf"(?<![\w.]){re.escape(table)}(?!\w)", sql, re.IGNORECASE) is not None
