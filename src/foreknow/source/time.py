"""Instants in DuckDB as whole Unix seconds UTC, whatever their resolution."""

from __future__ import annotations

__all__ = ["is_instant", "seconds_sql"]


def is_instant(dtype: str) -> bool:
    """Whether a DuckDB type can be placed on the time line (text is tried, see `seconds_sql`)."""
    return dtype in ("DATE", "VARCHAR") or (dtype.startswith("TIMESTAMP") and not dtype.endswith("]"))


def seconds_sql(expression: str, dtype: str) -> str:
    """SQL for whole Unix seconds UTC (rounded down) of an instant; NULL if it is none.

    Text that is no timestamp becomes NULL; ``infinity`` does too. An offset in a text (``+02:00``) counts; text
    without one is UTC in a connection whose ``TimeZone`` is UTC, as those of a snapshot are.
    """
    if dtype == "VARCHAR":  # a cast to TIMESTAMP would drop the offset
        expression = f"TRY_CAST({expression} AS TIMESTAMPTZ)"
    elif dtype in ("TIMESTAMP_MS", "TIMESTAMP_S"):
        expression = f"({expression})::TIMESTAMP"
    # In whole numbers: seconds as a float round up just before a full second, and so does casting nanoseconds.
    count, unit = ("epoch_ns", 1_000_000_000) if dtype == "TIMESTAMP_NS" else ("epoch_us", 1_000_000)
    ticks = f"{count}({expression})"
    return f"CASE WHEN isfinite({expression}) THEN {ticks} // {unit} - ({ticks} % {unit} < 0)::BIGINT END"
