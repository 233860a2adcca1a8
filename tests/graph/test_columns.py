"""Values of every kind as the store keeps them."""

from itertools import pairwise

import numpy as np
import pytest

from foreknow.errors import SchemaError
from foreknow.graph.columns import MISSING_TIME, columns_of
from foreknow.testing.toy import toy_schema
from foreknow.types import Stype


@pytest.fixture
def columns(build):
    """The raw columns of a table given as SELECT and the meanings of its columns."""

    def run(select, meanings, time=None):
        return whole(select, meanings, time)["t"].columns

    def whole(select, meanings, time=None):
        timed = f"time: {time}, " if time else ""
        return build(f"CREATE TABLE t AS {select}", f"t: {{{timed}columns: {{{meanings}}}}}")

    run.store = whole
    return run


def test_numbers_are_float32_and_nan_where_there_is_none(columns):
    raw = columns(
        "SELECT unnest([1.5, NULL, 'nan', 'inf', '-inf', 1e300, -0.0]::DOUBLE[]) AS a, 7 AS b",
        "b: numerical, a: numerical",
    )
    assert raw.number_names == ("a", "b")
    assert raw.numbers.dtype == np.float32
    np.testing.assert_array_equal(raw.numbers[:, 0], [1.5, *[np.nan] * 5, -0.0])
    assert raw.numbers[:, 1].tolist() == [7.0] * 7


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("true", 1),
        ("1.25::DECIMAL(9, 2)", 1.25),
        ("'2.5'", 2.5),
        ("12::HUGEINT", 12),
        ("'x'", np.nan),
        ("NULL", np.nan),
    ],
)
def test_whatever_reads_as_a_number_is_one(columns, value, number):
    np.testing.assert_array_equal(columns(f"SELECT {value} AS a", "a: numerical").numbers, [[number]])


def test_texts_that_are_no_numbers_or_times_are_reported(columns):
    store = columns.store(
        "SELECT unnest(['1', 'ten', 'two', NULL, 'ten']) AS n, "
        "unnest(['2020-01-01', 'soon', NULL, '', '2020-01-02']) AS d",
        "n: numerical, d: timestamp",
    )
    number, instant = store.findings
    assert str(number) == (
        "table 't', column 'n': 3 of 5 values are no numerical (e.g. 'ten', 'two') and count as missing\n"
        "  Hint: give the column another type, or derive one with sql from n"
    )
    assert (number.name, number.severity, number.count) == ("unreadable-values", "warning", 3)
    assert (instant.column, instant.count) == ("d", 2)
    assert "(e.g. '', 'soon')" in instant.message


def test_instants_are_whole_seconds(columns):
    raw = columns(
        "SELECT unnest(['1970-01-02', '1969-12-31 23:59:59.5', NULL, 'infinity']::TIMESTAMP[]) AS a, "
        "DATE '1970-01-03' AS b, TIMESTAMPTZ '1970-01-01 01:00:00+01' AS c, '1970-01-01 02:00+02' AS d",
        "a: timestamp, b: timestamp, c: timestamp, d: timestamp",
    )
    assert raw.instant_names == ("a", "b", "c", "d")
    assert raw.instants[:, 0].tolist() == [86400, -1, MISSING_TIME, MISSING_TIME]
    assert raw.instants[0].tolist() == [86400, 172800, 0, 0]


def test_categories_are_codes_into_a_sorted_dictionary(columns):
    raw = columns("SELECT unnest(['b', NULL, 'a', 'b', '']) AS a", "a: categorical")
    assert raw.dictionary("a").to_pylist() == ["", "a", "b"]
    assert raw.codes["a"].tolist() == [3, 0, 2, 3, 1]
    assert raw.codes["a"].dtype == np.uint8


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ("10, 9, 9::BIGINT", ["9", "10"]),
        ("true, false", ["false", "true"]),
        ("2.5::DOUBLE, 'nan'::DOUBLE, 1", ["1", "2.5"]),
        ("1.50::DECIMAL(4, 2), 1", ["1.00", "1.50"]),
        ("DATE '2020-01-02', DATE '2020-01-01'", ["2020-01-01", "2020-01-02"]),
        ("'c7d6a9a4-0000-0000-0000-000000000000'::UUID", ["c7d6a9a4-0000-0000-0000-000000000000"]),
        ("'b'::ENUM('b', 'a'), 'a'", ["a", "b"]),
        ("NULL", []),
    ],
)
def test_categories_of_any_single_type_become_text_in_the_order_of_their_type(columns, values, texts):
    raw = columns(f"SELECT unnest([{values}]) AS a", "a: categorical")
    assert raw.dictionary("a").to_pylist() == texts
    assert set(raw.codes["a"].tolist()) | {0} == set(range(len(texts) + 1))


def test_nan_is_no_category(columns):
    raw = columns(
        "SELECT unnest([1, 'nan'::FLOAT, NULL]) AS a, unnest([[1, 'nan'::DOUBLE], [], NULL]) AS b",
        "a: categorical, b: multicategorical",
    )
    assert raw.codes["a"].tolist() == [1, 0, 0]
    assert raw.dictionary("b").to_pylist() == ["1"]
    assert raw.lists["b"][1].tolist() == [1, 0]


def test_codes_are_as_narrow_as_they_can_be(columns):
    raw = columns(
        "SELECT i % 255 AS a, i % 256 AS b, i AS c FROM range(65536) AS t(i)",
        "a: categorical, b: categorical, c: categorical",
    )
    assert [raw.codes[c].dtype for c in "abc"] == [np.uint8, np.uint16, np.uint32]
    assert raw.codes["c"].max() == 65536


def test_lists_are_codes_behind_pointers(columns):
    raw = columns("SELECT unnest([['b', 'a'], [], NULL, ['a', NULL, 'a']]) AS a", "a: multicategorical")
    pointer, codes = raw.lists["a"]
    assert pointer.tolist() == [0, 2, 2, 2, 5]
    assert codes.tolist() == [2, 1, 1, 0, 1]
    assert raw.dictionary("a").to_pylist() == ["a", "b"]


def test_lists_follow_their_rows_into_time_order(columns):
    raw = columns(
        "SELECT unnest([['late', 'x'], ['early'], []]) AS a, to_timestamp(unnest([3, 1, 2])) AS day",
        "a: multicategorical",
        time="day",
    )
    pointer, codes = raw.lists["a"]
    names = np.array(["", *raw.dictionary("a").to_pylist()])
    assert [names[codes[a:b]].tolist() for a, b in pairwise(pointer)] == [
        ["early"],
        [],
        ["late", "x"],
    ]


def test_vectors_are_rows_of_a_matrix_and_nan_where_missing(columns):
    raw = columns(
        "SELECT unnest([[1, 2], NULL, [3, NULL]]::DOUBLE[][]) AS a, "
        "unnest([[1, 2, 3], [4, 5, 6], NULL])::FLOAT[3] AS b",
        "a: embedding, b: embedding",
    )
    np.testing.assert_array_equal(raw.vectors["a"], [[1, 2], [np.nan] * 2, [3, np.nan]])
    np.testing.assert_array_equal(raw.vectors["b"], [[1, 2, 3], [4, 5, 6], [np.nan] * 3])
    assert raw.vectors["a"].dtype == np.float32


@pytest.mark.parametrize("time", ["day", None])
def test_batches_land_in_their_rows(columns, monkeypatch, time):
    monkeypatch.setattr("foreknow.graph.columns.BATCH_ROWS", 2048)
    monkeypatch.setattr("foreknow.graph.build.BATCH_ROWS", 2048)
    n = 5000
    raw = columns(
        f"SELECT to_timestamp({n} - i) AS day, i AS a, to_timestamp(i) AS b, i % 3 AS c, [i, i] AS d, [i, -i] AS e "
        f"FROM range({n}) AS t(i)",
        "a: numerical, b: timestamp, c: categorical, d: multicategorical, e: embedding",
        time=time,
    )
    expected = np.arange(n) if time is None else np.arange(n)[::-1]
    assert np.array_equal(raw.numbers[:, 0], expected)
    assert np.array_equal(raw.instants[:, 0], expected)
    assert np.array_equal(raw.codes["c"], expected % 3 + 1)
    assert np.array_equal(raw.lists["d"][1], np.repeat(expected + 1, 2))
    assert np.array_equal(raw.lists["d"][0], np.arange(n + 1) * 2)
    assert np.array_equal(raw.vectors["e"], np.stack([expected, -expected], axis=1))


EVERY = """SELECT 1 AS n, 'a' AS c, 'some words' AS x, true AS b, [1.5, 2] AS e, ['a'] AS l, DATE '2020-01-01' AS i,
           DATE '2020-01-01' AS day"""
MEANINGS = "n: numerical, c: categorical, x: text, b: boolean, e: embedding, l: multicategorical, i: timestamp"


@pytest.mark.parametrize("time", ["day", None])
def test_a_table_without_rows_has_columns_without_values(columns, time):
    raw = columns(f"{EVERY} LIMIT 0", MEANINGS, time=time)
    assert (raw.numbers.shape, raw.instants.shape) == ((0, 1), (0, 1))
    assert {c: raw.dictionary(c).to_pylist() for c in raw.codes} == {"c": [], "x": [], "b": []}
    assert [a.tolist() for a in raw.lists["l"]] == [[0], []]
    assert raw.vectors["e"].shape == (0, 1)


def test_a_table_without_features_has_none(columns):
    raw = columns("SELECT unnest([1, 2]) AS a", "")
    assert (raw.numbers.shape, raw.instants.shape, raw.codes, raw.lists, raw.vectors) == ((2, 0), (2, 0), {}, {}, {})


@pytest.mark.parametrize(
    ("value", "meaning", "message"),
    [
        ("DATE '2020-01-01'", "numerical", "column 'a' is DATE, which is not a number"),
        ("[1]", "numerical", "column 'a' is INTEGER\\[\\], which is not a number"),
        ("{'x': 1}", "numerical", "column 'a' is STRUCT\\(x INTEGER\\), which is not a number"),
        ("5", "timestamp", "column 'a' is INTEGER, which is not a time; derive one with sql, e.g. to_timestamp"),
        ("[TIMESTAMP '2020-01-01']", "timestamp", "column 'a' is TIMESTAMP\\[\\], which is not a time"),
        ("['x']", "categorical", "column 'a' is VARCHAR\\[\\], but categorical needs single values"),
        ("MAP {'x': 1}", "text", "column 'a' is MAP\\(VARCHAR, INTEGER\\), but text needs single values"),
        ("INTERVAL 1 DAY", "categorical", "column 'a' is INTERVAL, but categorical needs single values"),
        ("'x'", "multicategorical", "column 'a' is VARCHAR, but multicategorical needs a list or array"),
        ("[['x']]", "multicategorical", "is VARCHAR\\[\\]\\[\\], but multicategorical needs a list of single values"),
        ("1.5", "embedding", "column 'a' is DECIMAL\\(2,1\\), but embedding needs a list or array"),
        ("['x']", "embedding", "column 'a' is VARCHAR\\[\\], but embedding needs a list of numbers"),
        ("[]::FLOAT[]", "embedding", "column 'a': embeddings are empty lists\nHint: ignore it"),
    ],
)
def test_columns_that_are_not_what_they_are_said_to_be(columns, value, meaning, message):
    with pytest.raises(SchemaError, match=f"table 't'.*{message}"):
        columns(f"SELECT {value} AS a", f"a: {meaning}")


def test_all_such_columns_are_named_at_once(columns):
    with pytest.raises(SchemaError, match=r"table 't': column 'a' is .* not a number; column 'b' is .* needs a list"):
        columns("SELECT DATE '2020-01-01' AS a, 1 AS b", "a: numerical, b: embedding")


def test_vectors_of_two_lengths_are_refused(columns):
    with pytest.raises(
        SchemaError, match="table 't', column 'a': embeddings need one length, these have 1 to 2\nHint: call"
    ):
        columns("SELECT unnest([[1.0], [1, 2]]) AS a", "a: embedding")


def test_features_are_found_by_meaning_without_keys_and_the_time_column():
    customers = toy_schema()["customers"]
    assert [c.name for c in columns_of(customers, Stype.NUMERICAL, Stype.CATEGORICAL)] == ["age", "tier"]
    assert columns_of(customers, Stype.KEY) == ()
    assert columns_of(customers, Stype.TIMESTAMP) == ()
