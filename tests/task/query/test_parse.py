"""Every accepted form parses to what it says; what is no query is told where and how."""

# ruff: noqa: E501  # a query and what is said of it stand on one line

import datetime as dt

import pytest

from foreknow.errors import ForeknowError, QueryError
from foreknow.task.query.parse import parse, read_moment
from foreknow.task.query.syntax import Aggregation, Column, Combination, Negation

FORMS = [
    "PREDICT COUNT(transactions.*, 0, 7, days) = 0 FOR EACH customers.customer_id "
    "WHERE COUNT(transactions.*, -7, 0, days) > 0",
    "PREDICT COUNT(transfers.* VIA transfers.sender_id WHERE transfers.amount > 10, 0, 7) FOR EACH customers.customer_id",
    "PREDICT SUM(transactions.price, 0, 7) FORECAST 4 TIMEFRAMES FOR EACH customers.customer_id EVERY 7 days "
    "AS OF '2024-03-31';",
    "predict exists(notes.*, 0, 24, hours) for users.user_id in (42, 43) where not (notes_owner.kind = 'x') "
    "as of timestamp '2024-03-31 12:00:00'",
    'PREDICT COUNT_DISTINCT("order.lines"."article id", 0, 2, weeks) > 1 FOR EACH "my customers"."customer id"',
    "PREDICT MAX(o.x, 10, 30) BETWEEN 1 AND 5 OR NOT MIN(o.x, 10, 30) NOT IN (1, 2.5, -3) FOR EACH u.id "
    "WHERE u.vip AND u.born >= DATE '1990-01-01'",
    "PREDICT LIST_DISTINCT(o.cat, 0, 30) CONTAINS 'toys' FOR EACH u.id WHERE LIST_DISTINCT(o.cat, -90, 0) NOT CONTAINS "
    "'food' AND u.name STARTS WITH 'A' AND NOT u.mail LIKE '%.org'",
    "PREDICT SUM(o.x, 0, 30) IS NULL FOR EACH u.id WHERE (regions.country = 'US' OR regions.size < 1e4) "
    "AND COUNT(o.*, -INF, 0) > 5 AND u.mail IS NOT NULL AND u.joined < 2022-01-01 12:45:30",
]


@pytest.mark.parametrize("text", FORMS)
def test_every_form_of_the_description_parses(text):
    assert parse(text).text == text


def test_case_comments_and_line_breaks_mean_nothing():
    text = "-- churn\npredict Count(t.*, 0, 7)=0 -- now\n for\teach c.id ;"
    query = parse(text)
    assert query.target.operand.function.text == "Count"
    assert query.entity.each
    assert text[slice(*query.entity.span)].split() == ["each", "c.id"]


def test_a_word_after_a_dot_is_a_column_and_functions_are_words_only_before_a_bracket():
    query = parse("PREDICT first.where = 1 FOR EACH count.each WHERE sum.null IS NULL")
    assert isinstance(query.target.operand, Column)
    assert (query.target.operand.table.text, query.target.operand.column.text) == ("first", "where")
    assert query.entity.column.column.text == "each"
    assert query.where.operand.column.text == "null"


def test_quotes_come_off_names_and_texts():
    query = parse("""PREDICT "a ""b"".c".d = 'it''s' FOR EACH "for"."each" """)
    assert query.target.operand.table.text == 'a "b".c'
    assert query.target.values[0].value == "it's"
    assert query.entity.column.table.text == "for"


def test_and_binds_tighter_than_or_and_not_tighter_than_and():
    target = parse("PREDICT a.b = 1 OR NOT a.b = 2 AND a.b = 3 FOR EACH a.id").target
    assert target.operator == "OR"
    right = target.parts[1]
    assert isinstance(right, Combination)
    assert right.operator == "AND"
    assert isinstance(right.parts[0], Negation)


def test_an_aggregation_knows_its_parts_and_places():
    text = "PREDICT SUM(t.x VIA (t.a, u.b) WHERE t.y <> 3, -INF, 2, weeks) > 0 FOR EACH c.id"
    a = parse(text).target.operand
    assert isinstance(a, Aggregation)
    assert [text[slice(*c.span)] for c in a.via] == ["t.a", "u.b"]
    assert a.where.operator == "!="
    assert a.window.start.is_infinite
    assert text[slice(*a.span)] == "SUM(t.x VIA (t.a, u.b) WHERE t.y <> 3, -INF, 2, weeks)"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-02-29", dt.datetime(2024, 2, 29, tzinfo=dt.UTC)),
        ("2024-01-01 12:00", dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC)),
        ("2024-01-01T12:00:30+02:00", dt.datetime(2024, 1, 1, 10, 0, 30, tzinfo=dt.UTC)),
        ("2024-02-30", None),
        ("yesterday", None),
        ("0000-01-01", None),
        ("0001-01-01T00:00+10:00", None),
    ],
)
def test_moments_are_utc_and_must_exist(text, moment):
    assert read_moment(text) == moment


@pytest.mark.parametrize(
    ("text", "code", "column", "message"),
    [
        ("", "Q00", 1, "the end can't stand here"),
        ("SELECT 1", "Q00", 1, "'SELECT' can't stand here"),
        ("PREDICT a.b = 'x FOR EACH a.b", "Q00", 15, "a quote is opened but not closed"),
        ("PREDICT a.b > FOR EACH a.b", "Q00", 15, "FOR can't stand here"),
        ("PREDICT a.b ? 3 FOR EACH a.b", "Q00", 13, "'?' has no meaning here"),
        ("PREDICT COUNT(t.*, 0, 7)", "Q01", 25, "expected FOR EACH before the end"),
        ('PREDICT a.b = "it\'s" FOR EACH a.b', "Q02", 15, "a text value needs single quotes"),
        ("PREDICT " + "(" * 60 + "a.b" + ")" * 60 + " FOR EACH a.b", "Q00", 59, "more than 50 brackets"),
        ("PREDICT " + "NOT " * 60 + "a.b FOR EACH a.b", "Q00", 209, "more than 50 brackets or NOTs"),
        ("PREDICT a.b FOR EACH a.b" + " " * 20_000, "Q00", 1, "the query has 20,024 characters"),
    ],
)
def test_what_is_no_query_is_told_where(text, code, column, message):
    with pytest.raises(QueryError) as caught:
        parse(text)
    assert (caught.value.code, caught.value.column, caught.value.line) == (code, column, 1)
    assert message in str(caught.value)


def test_a_query_error_is_a_value_error_and_points_into_its_line():
    with pytest.raises(ValueError, match="Q02 at line 3, column 12") as caught:
        parse("PREDICT a.b FOR EACH a.b\nWHERE a.c = 'ä'\n\tAND a.d = \"y\"")
    assert isinstance(caught.value, ForeknowError)
    lines = str(caught.value).splitlines()
    assert lines[1:3] == ['  \tAND a.d = "y"', "  \t          ^^^"]
