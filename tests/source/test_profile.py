from __future__ import annotations

import math
from collections.abc import Iterator

import duckdb
import pytest

from foreknow.schema.profile import ColumnProfile, Declared, TableProfile
from foreknow.source.measure import measure_containment, unique_together
from foreknow.source.profile import EXACT_DISTINCT, profile_table


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 2}) as c:
        yield c


def profile(connection: duckdb.DuckDBPyConnection, select: str) -> TableProfile:
    return profile_table(connection, f"({select})", "t", Declared())


def column(connection: duckdb.DuckDBPyConnection, values: str, dtype: str) -> ColumnProfile:
    return profile(connection, f"SELECT unnest([{values}])::{dtype} AS c")["c"]


def test_the_common_values_come_first_and_nulls_are_counted(connection: duckdb.DuckDBPyConnection) -> None:
    c = column(connection, "'b', 'a', NULL, 'c', 'a', 'b', 'a'", "VARCHAR")
    assert c.samples == ("a", "b", "c")
    assert (c.num_null, c.num_distinct, c.is_unique) == (1, 3, False)
    assert (c.minimum, c.maximum) == ("a", "c")


def test_uniqueness_leaves_nulls_aside(connection: duckdb.DuckDBPyConnection) -> None:
    assert column(connection, "1, NULL, 2, NULL", "INTEGER").is_unique
    assert not column(connection, "1, NULL, 1", "INTEGER").is_unique


def test_the_number_of_rows_and_the_declared_constraints_are_passed_on(connection: duckdb.DuckDBPyConnection) -> None:
    declared = Declared(primary_key=("x",))
    t = profile_table(connection, "(SELECT 1 AS x, 'y' AS y)", "one", declared)
    assert (t.name, t.num_rows, t.declared, [c.name for c in t.columns]) == ("one", 1, declared, ["x", "y"])


def test_an_empty_table_has_columns_without_values(connection: duckdb.DuckDBPyConnection) -> None:
    t = profile(connection, "SELECT 1 AS x, 'a' AS y, [1.5] AS z LIMIT 0")
    assert t.num_rows == 0
    for c in t.columns:
        assert (c.num_null, c.num_distinct, c.is_unique, c.minimum, c.samples) == (0, 0, False, None, ())
        assert math.isnan(c.mean_length)


def test_nan_counts_as_missing(connection: duckdb.DuckDBPyConnection) -> None:
    c = column(connection, "1.5, 'nan'::DOUBLE, 2.5", "DOUBLE")
    assert (c.num_null, c.minimum, c.maximum, c.samples) == (1, "1.5", "2.5", ("1.5", "2.5"))


def test_words_and_characters_of_texts_ignore_padding(connection: duckdb.DuckDBPyConnection) -> None:
    c = column(connection, "'ab        ', 'one two three'", "VARCHAR")
    assert c.mean_length == pytest.approx((2 + 13) / 2)
    assert c.mean_words == pytest.approx((1 + 3) / 2)


def test_lengths_of_lists_tell_embeddings_from_other_lists(connection: duckdb.DuckDBPyConnection) -> None:
    array = column(connection, "[1.0, 2.0], [3.0, 4.0]", "FLOAT[2]")
    assert (array.minimum, array.maximum, array.mean_length, array.samples) == ("2", "2", 2.0, ())
    ragged = column(connection, "['a'], ['a', 'b', 'c']", "VARCHAR[]")
    assert (ragged.minimum, ragged.maximum, ragged.mean_length) == ("1", "3", 2.0)
    assert set(ragged.samples) == {"[a]", "[a, b, c]"}


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        ("'ab'::BLOB", "BLOB"),
        ("{'a': 1}", "STRUCT(a INTEGER)"),
        ("MAP {'a': 1}", "MAP(VARCHAR, INTEGER)"),
        ("'{\"a\": 1}'::JSON", "JSON"),
        ("INTERVAL 1 DAY", "INTERVAL"),
        ("TIME '10:00'", "TIME"),
        ("[{'a': 1}]", "STRUCT(a INTEGER)[]"),
        ("gen_random_uuid()", "UUID"),
        ("'a'::ENUM('a', 'b')", "ENUM('a', 'b')"),
        ("true", "BOOLEAN"),
        ("1::UBIGINT", "UBIGINT"),
        ("TIMESTAMPTZ '2020-01-01 00:00:00+00'", "TIMESTAMP WITH TIME ZONE"),
        ("NULL", "INTEGER"),
    ],
)
def test_every_type_can_be_measured(connection: duckdb.DuckDBPyConnection, value: str, dtype: str) -> None:
    c = profile(connection, f"SELECT {value} AS c")["c"]
    assert c.dtype.replace('"NULL"', "INTEGER") == dtype
    assert c.num_null == (value == "NULL")


def test_names_are_just_names(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute('CREATE TABLE t AS SELECT 1 AS "x""; DROP TABLE y", 2 AS v, 3 AS n, 4 AS "k0", 5 AS """ "')
    t = profile_table(connection, "t", "t", Declared())
    assert [(c.name, c.samples) for c in t.columns] == [
        ('x"; DROP TABLE y', ("1",)),
        ("v", ("2",)),
        ("n", ("3",)),
        ("k0", ("4",)),
        ('" ', ("5",)),
    ]
    found = measure_containment(connection, {"t": "t"}, "t", ["k0", "v"], "t", ["k0", 'x"; DROP TABLE y'])
    assert (found.num_values, found.num_missing, found.examples) == (1, 1, ("(4, 2)",))


def test_one_duplicate_among_many_is_found_and_named(connection: duckdb.DuckDBPyConnection) -> None:
    many = 3 * EXACT_DISTINCT
    rows = f"SELECT 'id' || if(i = 7, 8, i) AS c FROM range({many}) AS t(i)"
    c = profile(connection, rows)["c"]
    assert (c.num_distinct, c.is_unique, c.samples[0]) == (many - 1, False, "id8")
    assert profile(connection, f"SELECT i AS c FROM range({many}) AS t(i)")["c"].is_unique


def test_columns_that_can_be_no_key_are_estimated(connection: duckdb.DuckDBPyConnection) -> None:
    many = 4 * EXACT_DISTINCT
    c = profile(connection, f"SELECT (i // 2)::BIGINT AS c FROM range({many}) AS t(i)")["c"]
    assert not c.is_unique
    assert c.num_distinct == pytest.approx(many / 2, rel=0.15)
    assert c.samples == ("0", "1", "2", "3", "4")


def test_long_texts_are_cut(connection: duckdb.DuckDBPyConnection) -> None:
    c = column(connection, "repeat('x', 1000)", "VARCHAR")
    assert c.mean_length == 1000
    assert {len(c.minimum or ""), len(c.maximum or ""), *map(len, c.samples)} == {200}


def links(connection: duckdb.DuckDBPyConnection, child: str, parent: str) -> tuple[int, int, tuple[str, ...]]:
    found = measure_containment(
        connection, {"child": f"({child})", "parent": f"({parent})"}, "child", ["k"], "parent", ["id"]
    )
    return found.num_values, found.num_missing, found.examples


def test_containment_counts_rows_not_values(connection: duckdb.DuckDBPyConnection) -> None:
    child = "SELECT unnest(['a', 'a', 'x', 'x', 'y', 'x', NULL]) AS k"
    assert links(connection, child, "SELECT unnest(['a', 'b', 'a', NULL]) AS id") == (6, 4, ("x", "y"))


def test_null_keys_match_nothing_and_are_not_missing(connection: duckdb.DuckDBPyConnection) -> None:
    assert links(connection, "SELECT NULL::INTEGER AS k", "SELECT NULL::INTEGER AS id") == (0, 0, ())
    assert links(connection, "SELECT 'nan'::DOUBLE AS k", "SELECT 1 AS id") == (0, 0, ())


def test_numbers_stored_as_floats_match_whole_numbers(connection: duckdb.DuckDBPyConnection) -> None:
    assert links(connection, "SELECT unnest([1.0, 2.5])::DOUBLE AS k", "SELECT 1 AS id") == (2, 1, ("2.5",))


def test_numbers_and_texts_are_compared_as_texts(connection: duckdb.DuckDBPyConnection) -> None:
    assert links(connection, "SELECT unnest(['1', '01', 'a']) AS k", "SELECT 1 AS id") == (3, 2, ("01", "a"))


def test_composite_links_need_all_parts(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("CREATE TABLE teams AS SELECT * FROM (VALUES (2021, 'HOU'), (2022, 'PHI')) AS t(y, team)")
    connection.execute(
        "CREATE TABLE series AS SELECT * FROM (VALUES (2021, 'HOU'), (2022, 'HOU'), (2022, NULL)) AS t(y, team)"
    )
    found = measure_containment(
        connection, {"teams": "teams", "series": "series"}, "series", ("y", "team"), "teams", ("y", "team")
    )
    assert (found.num_values, found.num_missing, found.examples) == (2, 1, ("(2022, HOU)",))
    assert found.share == 0.5


def test_unique_together(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(
        "CREATE TABLE t AS SELECT * FROM (VALUES (1, 'a'), (1, 'b'), (2, 'a'), (2, NULL), (2, NULL)) t(x, y)"
    )
    assert unique_together(connection, "t", ["x", "y"])
    assert not unique_together(connection, "t", ["x"])
    assert not unique_together(connection, "t", ["y"])
