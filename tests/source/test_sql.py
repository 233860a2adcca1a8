import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from foreknow.source.sql import MAX_REASON, columns_list, fetch_all, fetch_one, literal, quote, reason

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
CONNECTION = duckdb.connect()


@settings(max_examples=60)
@given(TEXTS.filter(bool))
@example('x"; DROP TABLE y')
@example("a.b")
def test_any_text_can_be_a_name(name):
    ((column, *_),) = fetch_all(CONNECTION, f"DESCRIBE SELECT 1 AS {quote(name)}")
    assert column == name


@settings(max_examples=60)
@given(TEXTS)
@example("it's; DROP TABLE y --")
def test_any_text_can_be_a_value(text):
    assert fetch_one(CONNECTION, f"SELECT {literal(text)}") == (text,)


def test_columns_are_listed_behind_an_alias():
    assert columns_list(["a", 'b"c']) == '"a", "b""c"'
    assert columns_list(["a", "b.c"], prefix="t") == 't."a", t."b.c"'
    assert columns_list([]) == ""


def test_one_row_means_exactly_one():
    for rows in (0, 2):
        with pytest.raises(ValueError, match="unpack"):
            fetch_one(CONNECTION, f"SELECT * FROM range({rows})")


def why(sql):
    with pytest.raises(duckdb.Error) as caught:
        CONNECTION.sql(sql).fetchall()
    return reason(caught.value)


def test_reasons_are_one_line_without_pointers_into_sql():
    text = why("SELECT prise FROM (SELECT 1 AS price)")
    assert text.startswith('Binder Error: Referenced column "prise" not found')
    assert text.endswith('Candidate bindings: "price"')
    assert why("SELECT sqrt('a'::BLOB)").endswith("You might need to add explicit type casts.")


def test_reasons_are_never_long_and_never_empty():
    text = why(f"SELECT error({literal('x' * 1000)})")
    assert len(text) == MAX_REASON
    assert text.endswith("x ...")
    assert reason(duckdb.IOException("\n")) == "IOException"
