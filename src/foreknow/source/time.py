"""Instants in DuckDB as whole Unix seconds UTC, whatever their resolution."""

from __future__ import annotations

__all__ = ["is_instant", "seconds_sql"]


def is_instant(dtype: str) -> bool:
    """Whether a DuckDB type can be placed on the time line (text is tried, see `seconds_sql`)."""
    return dtype == "DATE" or dtype.startswith("TIMESTAMP") or dtype == "VARCHAR"


def seconds_sql(expression: str, dtype: str) -> str:
    """SQL for whole Unix seconds UTC (rounded down) of an instant; NULL if it is none.

    Text that is no timestamp becomes NULL; ``infinity`` does too.
    """
    if dtype == "VARCHAR":
        expression, dtype = f"TRY_CAST({expression} AS TIMESTAMP)", "TIMESTAMP"
    if dtype in ("TIMESTAMP_NS", "TIMESTAMP_MS", "TIMESTAMP_S"):
        expression = f"({expression})::TIMESTAMP"
    return f"CASE WHEN isfinite({expression}) THEN floor(epoch({expression}))::BIGINT END"
