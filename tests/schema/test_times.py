"""Time columns: stored, in pieces, as numbers, as texts; and what is odd about times."""

from __future__ import annotations

import pytest

from foreknow.schema.evidence import TimeColumn
from foreknow.schema.infer import Inference
from foreknow.testing.inference import infer, rows

USERS = rows(40, "'u' || i AS user_id")


def times(found: Inference, table: str = "t") -> list[TimeColumn]:
    (ranking,) = [r for r in found.of(table) if r.subject == "time"]
    return [p.value for p in ranking.proposals if isinstance(p.value, TimeColumn)]


def infer_events(columns: str, n: int = 800) -> Inference:
    """A table of events of users."""
    return infer(users=USERS, t=rows(n, f"'u' || i % 40 AS user_id, i / 3 AS x, {columns}"))


def sql(found: Inference) -> str | None:
    column = found.schema["t"].time_column
    return None if column is None else found.schema["t"][column].sql


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ("2010 + i % 9 AS year", "make_date(year, 12, 31)"),
        ("2010 + i % 9 AS year, 1 + i % 12 AS month", "make_date(year, month, 1) + INTERVAL 1 MONTH"),
        (
            "2010 + i % 9 AS year, 1 + i % 12 AS month, 1 + i % 28 AS day",
            "make_date(year, month, day) + INTERVAL 1 DAY",
        ),
        (
            "2010 + i % 9 AS year, 1 + i % 12 AS month, 1 + i % 28 AS day, i % 24 AS hour",
            "make_date(year, month, day) + to_hours(hour)",
        ),
        (
            "2010 + i % 9 AS order_year, 1 + i % 12 AS order_month, 1 + i % 28 AS order_day, i % 12 AS month",
            "make_date(order_year, order_month, order_day) + INTERVAL 1 DAY",
        ),
        ("2010 + i % 9 AS birth_year", None),
        ("i % 9 AS year", None),
        ("1 + i % 12 AS month, 1 + i % 28 AS day", None),
    ],
)
def test_times_in_pieces_are_put_together_to_the_end_of_what_they_name(columns: str, expected: str | None) -> None:
    assert sql(infer_events(columns)) == expected


def test_a_year_alone_is_asked_about_and_a_day_is_not() -> None:
    asked = infer_events("2010 + i % 9 AS year").questions
    assert [(q.subject, q.taken) for q in asked] == [("time", 0)]
    assert infer_events("2010 + i % 9 AS year, 1 + i % 12 AS month, 1 + i % 28 AS day").questions == ()


def test_a_time_of_day_with_gaps_is_not_used_though_it_is_proposed() -> None:
    """Cancelled flights have no hour: with it, they would never be seen."""
    found = infer_events(
        "2014 AS year, 1 + i % 12 AS month, 1 + i % 28 AS day, if(i % 99 = 0, NULL, i % 24) AS hour, i % 9 AS arr_delay"
    )
    assert sql(found) == "make_date(year, month, day) + INTERVAL 1 DAY"
    assert [t.pieces for t in times(found)] == [("year", "month", "day"), ("year", "month", "day", "hour")]


def test_the_year_something_was_built_is_no_time_of_an_entity() -> None:
    found = infer(planes=rows(300, "'N' || i AS tailnum, 1980 + i % 30 AS year, 1 + i % 4 AS engines"))
    assert found.schema["planes"].time_column is None
    assert found.questions == ()


def test_pieces_that_make_no_date_are_counted_and_do_no_harm() -> None:
    found = infer_events("2010 + i % 9 AS year, 1 + i % 12 AS month, 1 + i % 31 AS day")
    assert sql(found) == "TRY(make_date(year, month, day) + INTERVAL 1 DAY)"
    (ranking,) = [r for r in found.of("t") if r.subject == "time"]
    assert "rows make no time this way" in ranking.proposals[0].why


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("1500000000 + i * 3600 AS created_at", "(to_timestamp(created_at))::TIMESTAMP"),
        ("(1500000000 + i * 3600) * 1000 AS created_at", "make_timestamp_ms(created_at)"),
        ("20200101 + i % 28 AS order_date", "try_strptime(order_date::VARCHAR, '%Y%m%d') + INTERVAL 1 DAY"),
        ("1500000000 + i * 3600 AS distance", None),
        ("i % 28 AS order_date", None),
    ],
)
def test_numbers_named_like_times_are_read_as_such(column: str, expected: str | None) -> None:
    assert sql(infer_events(column)) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("'%Y-%m-%d'", "TRY_CAST(event_date AS TIMESTAMP)"),
        ("'%d.%m.%Y'", "try_strptime(event_date, ['%d.%m.%Y', "),
        ("'%Y-%m-%dT%H:%M:%S+02:00'", "TRY_CAST(event_date AS TIMESTAMPTZ)::TIMESTAMP"),
    ],
)
def test_texts_that_are_dates_become_the_time(value: str, expected: str) -> None:
    found = infer_events(f"strftime(DATE '2020-01-01' + (i // 4)::INTEGER, {value}) AS event_date")
    assert (sql(found) or "").startswith(expected)
    assert str(found.schema["t"]["event_date"].stype) == "ignore"


def test_texts_that_are_dates_of_something_else_are_warned_of() -> None:
    found = infer_events("strftime(DATE '1960-01-01' + (i // 4)::INTEGER, '%Y-%m-%d') AS birth_date")
    assert sql(found) is None
    (note,) = [n for n in found.notes if n.name == "dates-as-text"]
    assert (note.severity, note.column) == ("warning", "birth_date")


def test_mixed_spellings_of_dates_are_reported_and_read_together() -> None:
    day = "DATE '2020-01-13' + (i // 4 % 18)::INTEGER"
    found = infer_events(f"if(i % 3 = 0, strftime({day}, '%d/%m/%Y'), strftime({day}, '%Y-%m-%d')) AS event_date")
    (note,) = [n for n in found.notes if n.name == "mixed-dates"]
    assert note.severity == "warning"
    assert "2 spellings (YYYY-MM-DD, DD/MM/YYYY)" in note.message
    assert "try_strptime(event_date, ['%d/%m/%Y'" in str(sql(found))


def test_whether_day_or_month_comes_first_is_asked_if_nothing_tells() -> None:
    day = "DATE '2020-01-01' + (i % 12)::INTEGER"
    found = infer_events(f"strftime({day}, '%d/%m/%Y') AS event_date")
    (asked,) = [q for q in found.questions if q.subject == "time"]
    assert ["%d/%m/%Y" in a.lines[1] for a in asked.answers] == [True, False]
    told = infer_events("strftime(DATE '2020-01-13' + (i % 12)::INTEGER, '%d/%m/%Y') AS event_date")
    assert "%m/%d/%Y" not in str(sql(told))
    assert [q for q in told.questions if q.subject == "time"] == []


@pytest.mark.parametrize("strange", ["DATE '0001-01-01'", "DATE '9999-12-31'", "'infinity'::DATE"])
def test_years_1_and_9999_are_found_and_counted(strange: str) -> None:
    found = infer_events(f"if(i % 100 = 0, {strange}, DATE '2020-01-01' + (i // 4)::INTEGER) AS valid_from")
    (note,) = [n for n in found.notes if n.name == "strange-times"]
    assert (note.severity, note.column, note.count) == ("warning", "valid_from", 8)
    usual = infer_events("DATE '1871-01-01' + (i // 4)::INTEGER AS valid_from")
    assert [n for n in usual.notes if n.name == "strange-times"] == []


def test_a_stamp_in_another_time_zone_than_the_pieces_beside_it_is_told() -> None:
    pieces = "2014 AS year, 1 + i // 200 AS month, 1 + i % 28 AS day, i % 24 AS hour"
    stamp = "make_timestamp(2014, 1 + i // 200, 1 + i % 28, i % 24, 0, 0)"
    found = infer_events(f"{pieces}, {stamp} + INTERVAL 8 HOUR AS date")
    (note,) = [n for n in found.notes if n.name == "time-zones"]
    assert "is +8 h from year, month, day, hour" in note.message
    same = infer_events(f"{pieces}, {stamp} AS date")
    assert [n for n in same.notes if n.name == "time-zones"] == []
    assert (found.schema["t"].time_column, same.schema["t"].time_column) == ("date", "date")


def test_times_with_and_without_a_zone_side_by_side_are_told() -> None:
    stamp = "TIMESTAMP '2020-01-01' + INTERVAL (i) HOUR"
    found = infer(a=rows(90, f"{stamp} AS created_at, i / 3 AS x"), b=rows(90, f"({stamp})::TIMESTAMPTZ AS created_at"))
    (note,) = [n for n in found.notes if n.name == "time-zones"]
    assert note.message == "b.created_at have a time zone, a.created_at have none and are taken as UTC"


def test_rows_written_as_time_went_are_evidence() -> None:
    ordered = infer_events("TIMESTAMP '2020-01-01' + INTERVAL (i) HOUR AS moment")
    shuffled = infer_events("TIMESTAMP '2020-01-01' + INTERVAL (i * 7919 % 800) HOUR AS moment")
    a, b = (next(r for r in f.of("t") if r.subject == "time").proposals[0] for f in (ordered, shuffled))
    assert any(r.kind == "order" for r in a.reasons)
    assert not any(r.kind == "order" for r in b.reasons)
    assert a.confidence > b.confidence


def test_a_derived_column_takes_no_name_that_is_taken() -> None:
    found = infer_events("2010 + i % 9 AS year, 1 + i % 12 AS month, 'a' AS known_at")
    assert found.schema["t"].time_column == "known_at_2"
