"""Instants of every resolution as whole seconds, rounded down."""

import datetime as dt

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from foreknow.source.sql import fetch_all
from foreknow.source.time import is_instant, seconds_sql

CONNECTION = duckdb.connect()
CONNECTION.execute("SET TimeZone = 'UTC'")

US = 1_000_000
NEW_YEAR = 1577836800  # 2020-01-01
FIRST, LAST = -62135596800, 253402300799  # year 1 begins, year 9999 ends


def seconds(values, dtype):
    rows = ", ".join(f"({'NULL' if v is None else repr(v)}::{dtype})" for v in values)
    return [r[0] for r in fetch_all(CONNECTION, f"SELECT {seconds_sql('v', dtype)} FROM (VALUES {rows}) AS t(v)")]


@pytest.mark.parametrize(
    "dtype",
    ["TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE", "DATE", "VARCHAR"],
)
def test_every_type_of_instant_gives_the_same_seconds(dtype):
    values = ["2020-01-01", "1970-01-01", "1969-12-31", "infinity", "-infinity", None]
    assert is_instant(dtype)
    assert seconds(values, dtype) == [NEW_YEAR, 0, -86400, None, None, None]


@pytest.mark.parametrize("dtype", ["TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMP_MS", "TIMESTAMP WITH TIME ZONE", "VARCHAR"])
def test_fractions_are_rounded_down_also_before_1970(dtype):
    values = ["2020-01-01 00:00:00.999", "1969-12-31 23:59:59.001", "1969-12-31 23:59:59"]
    assert seconds(values, dtype) == [NEW_YEAR, -1, -1]


def test_the_last_nanosecond_of_a_second_still_belongs_to_it():
    values = ["2020-01-01 00:00:00.999999999", "1969-12-31 23:59:59.999999999", "1969-12-31 23:59:58.000000001"]
    assert seconds(values, "TIMESTAMP_NS") == [NEW_YEAR, -1, -2]


@pytest.mark.parametrize("dtype", ["TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "VARCHAR"])
def test_years_1_and_9999(dtype):
    assert seconds(["0001-01-01", "9999-12-31 23:59:59.999999"], dtype) == [FIRST, LAST]


def test_dates_of_years_1_and_9999():
    assert seconds(["0001-01-01", "9999-12-31"], "DATE") == [FIRST, LAST - 86399]


def test_offsets_count_in_text_as_in_timestamps():
    values = ["2020-01-01T00:00:00Z", "2020-01-01 02:00:00+02", "2019-12-31T19:00:00-05:00"]
    assert seconds(values, "VARCHAR") == [NEW_YEAR] * 3
    assert seconds(values, "TIMESTAMP WITH TIME ZONE") == [NEW_YEAR] * 3


def test_text_that_is_no_instant_is_missing():
    assert seconds(["soon", "2020-13-01", "", "20200101"], "VARCHAR") == [None] * 4


@settings(max_examples=50)
@given(st.lists(st.integers(FIRST * US, LAST * US), min_size=1, max_size=20))
@example([-1, 0, 1, -US, 1 - US, LAST * US + US - 1])
def test_microseconds_are_floored(ticks):
    rows = ", ".join(f"(make_timestamp({t}))" for t in ticks)
    found = fetch_all(CONNECTION, f"SELECT {seconds_sql('v', 'TIMESTAMP')} FROM (VALUES {rows}) AS t(v)")
    assert [r[0] for r in found] == [t // US for t in ticks]


@settings(max_examples=50)
@given(st.lists(st.integers(-(1 << 62), 1 << 62), min_size=1, max_size=20))
def test_nanoseconds_are_floored(ticks):
    rows = ", ".join(f"(make_timestamp_ns({t}))" for t in ticks)
    found = fetch_all(CONNECTION, f"SELECT {seconds_sql('v', 'TIMESTAMP_NS')} FROM (VALUES {rows}) AS t(v)")
    assert [r[0] for r in found] == [t // 1_000_000_000 for t in ticks]


@settings(max_examples=30)
@given(st.datetimes(min_value=dt.datetime(1, 1, 2), max_value=dt.datetime(9999, 12, 30)))
def test_text_reads_as_python_writes_it(instant):
    expected = int((instant.replace(microsecond=0) - dt.datetime(1970, 1, 1)) / dt.timedelta(seconds=1))
    assert seconds([instant.isoformat(), instant.isoformat(sep=" ") + "+00:00"], "VARCHAR") == [expected] * 2


@pytest.mark.parametrize("dtype", ["BIGINT", "TIME", "INTERVAL", "TIMESTAMP[]", "DATE[]", "VARCHAR[]", "DOUBLE"])
def test_other_types_are_no_instants(dtype):
    assert not is_instant(dtype)
