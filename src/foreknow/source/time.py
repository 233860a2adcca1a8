"""Instants in DuckDB as whole Unix seconds UTC, whatever their resolution."""

from __future__ import annotations

__all__ = ["instant_sql", "is_instant", "seconds_sql", "utc_sql"]


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


def instant_sql(expression: str, dtype: str) -> str:
    """SQL for an instant as a UTC timestamp of whole seconds, rounded down as `seconds_sql` rounds.

    Infinite instants stay so: compare them on the side where they don't count, or ask for `isfinite`.
    """
    exact = utc_sql(expression, dtype)
    return exact if dtype in ("DATE", "TIMESTAMP_S") else f"date_trunc('second', {exact})"


def utc_sql(expression: str, dtype: str) -> str:
    """SQL for an instant as something that compares with UTC timestamps, exact to the microsecond, rounded down."""
    if dtype == "VARCHAR":
        return f"(TRY_CAST({expression} AS TIMESTAMPTZ) AT TIME ZONE 'UTC')"
    if dtype == "TIMESTAMP WITH TIME ZONE":
        return f"({expression} AT TIME ZONE 'UTC')"
    if dtype == "TIMESTAMP_NS":  # a cast would round to the nearest microsecond
        return f"make_timestamp(epoch_ns({expression}) // 1000 - (epoch_ns({expression}) % 1000 < 0)::BIGINT)"
    return f"{expression}::TIMESTAMP" if dtype == "TIMESTAMP_MS" else expression
