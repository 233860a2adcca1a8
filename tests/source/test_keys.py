"""From key values to rows."""

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreknow.source.keys import is_compatible, match_rows, read_keys
from foreknow.source.snapshot import StagedTable


@pytest.fixture
def match(tmp_path):
    """Look the rows of one SELECT up in another; column ``id`` unless said otherwise."""

    def run(child, parent, columns=("k",), key=("id",), **options):
        return look_up(tmp_path, child, parent, columns, key, **options)

    return run


def look_up(folder, child, parent, columns, key, **options):
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({child}) TO '{folder}/c.parquet'; COPY ({parent}) TO '{folder}/p.parquet'")
        c, p = (StagedTable(name=n, path=folder / f"{n}.parquet", num_rows=0, columns={}, fingerprint="") for n in "cp")
        (num_rows,) = connection.sql(f"SELECT count(*) FROM {c.relation}").fetchall()[0]
        return match_rows(connection, c.numbered_relation, num_rows, columns, p, key, **options)


def values(*given, dtype="BIGINT", name="k"):
    listed = ", ".join("NULL" if v is None else f"{v!r}::{dtype}" for v in given)
    return f"SELECT unnest([{listed}]::{dtype}[]) AS {name}"


def test_rows_are_found_in_file_order(match):
    found = match(values(20, 10, 30, 10), values(10, 20, 30, name="id"))
    assert found.row.tolist() == [1, 0, 2, 0]
    assert found.row.dtype == "int32"
    assert (found.num_null, found.num_dangling, found.examples) == (0, 0, ())


def test_missing_and_dangling_values_lead_nowhere_and_are_counted(match):
    found = match(values(1, None, 7, 9, 8, 7), values(1, name="id"))
    assert found.row.tolist() == [0, -1, -1, -1, -1, -1]
    assert (found.num_null, found.num_dangling) == (1, 4)
    assert found.examples == ("7", "8", "9")
    assert match(values(3, 4), values(1, name="id"), num_examples=1).examples == ("3",)


def test_of_equal_keys_the_first_row_is_taken(match):
    assert match(values(5, 6), values(6, 5, 5, 6, name="id")).row.tolist() == [1, 0]


def test_null_keys_match_nothing(match):
    found = match(values(None, 1), values(None, 1, name="id"))
    assert (found.row.tolist(), found.num_null, found.num_dangling) == ([-1, 1], 1, 0)


def test_composite_keys_need_all_their_parts(match):
    found = match(
        "SELECT * FROM (VALUES (2021, 'HOU'), (2022, 'HOU'), (2022, NULL), (2022, 'PHI')) AS t(y, team)",
        "SELECT * FROM (VALUES ('PHI', 2022), ('HOU', 2021)) AS t(id, year)",
        ("team", "y"),
        ("id", "year"),
    )
    assert found.row.tolist() == [1, -1, -1, 0]
    assert (found.num_null, found.num_dangling, found.examples) == (1, 1, ("(HOU, 2022)",))


def test_floats_name_whole_numbers_and_nan_is_missing(match):
    found = match(values(1.0, "nan", None, 2.5, dtype="DOUBLE"), values(2, 1, name="id"))
    assert found.row.tolist() == [1, -1, -1, -1]
    assert (found.num_null, found.num_dangling, found.examples) == (2, 1, ("2.5",))


def test_nan_is_no_key(match):
    found = match(values("nan", 1, dtype="FLOAT"), values("nan", 1, dtype="DOUBLE", name="id"))
    assert (found.row.tolist(), found.num_null, found.num_dangling) == ([-1, 1], 1, 0)


def test_dangling_rows_are_counted_right_where_floats_are_ambiguous(match):
    found = match(values(1 << 53, 1, dtype="DOUBLE"), values(1 << 53, (1 << 53) + 1, name="id"))
    assert (found.num_dangling, found.examples) == (1, ("1.0",))


def test_wider_narrower_and_unsigned_integers_match_by_value(match):
    assert match(values(-1, 1, dtype="TINYINT"), values(255, 1, dtype="UBIGINT", name="id")).row.tolist() == [-1, 1]


def test_texts_match_exactly(match):
    found = match(values("a", "A", "a ", "", dtype="VARCHAR"), values("a", "", dtype="VARCHAR", name="id"))
    assert found.row.tolist() == [0, -1, -1, 1]
    assert found.examples == ("A", "a ")


def test_empty_tables_on_either_side(match):
    assert match(values(1) + " LIMIT 0", values(1, name="id")).row.tolist() == []
    found = match(values(1, None), values(1, name="id") + " LIMIT 0")
    assert (found.row.tolist(), found.num_null, found.num_dangling, found.examples) == ([-1, -1], 1, 1, ("1",))


@pytest.mark.parametrize("name", ["parent_row", "child_row", "k0", "c", "p", "a.b", 'x"; DROP TABLE y', "select"])
def test_key_columns_may_have_any_name(match, name):
    quoted = '"' + name.replace('"', '""') + '"'
    found = match(values(30, 10, name=quoted), values(10, 20, 30, name=quoted), (name,), (name,))
    assert found.row.tolist() == [2, 0]


@settings(max_examples=15)
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from("ab")), unique=True, min_size=1), st.data())
def test_key_to_row_to_key_is_the_same_key(tmp_path_factory, keys, data):
    asked = data.draw(st.lists(st.sampled_from(keys), min_size=1, max_size=10))
    folder = tmp_path_factory.mktemp("keys")

    def rows(pairs):
        return f"SELECT * FROM (VALUES {', '.join(f'({i}, {s!r})' for i, s in pairs)}) AS t(i, s)"

    found = look_up(folder, rows(asked), rows(keys), ("i", "s"), ("i", "s"))
    assert [keys[r] for r in found.row] == asked
    assert (found.num_null, found.num_dangling) == (0, 0)


@pytest.mark.parametrize(
    ("dtype", "key", "expected"),
    [
        ("INTEGER", "BIGINT", True),
        ("DOUBLE", "BIGINT", True),
        ("DECIMAL(9,2)", "BIGINT", True),
        ("UTINYINT", "HUGEINT", True),
        ("VARCHAR", "VARCHAR", True),
        ("UUID", "UUID", True),
        ("DATE", "DATE", True),
        ("VARCHAR", "BIGINT", False),
        ("BIGINT", "VARCHAR", False),
        ("UUID", "VARCHAR", False),
        ("BOOLEAN", "INTEGER", False),
        ("DATE", "TIMESTAMP", False),
    ],
)
def test_only_values_of_one_kind_can_name_each_other(dtype, key, expected):
    assert is_compatible(dtype, key) is expected


def test_keys_are_read_in_file_order(toy_snapshot):
    with toy_snapshot.connect() as connection:
        read = read_keys(connection, toy_snapshot["transactions"], ("customer_id", "transaction_id"))
    assert read.slice(4, 3) == pa.table({"customer_id": [2, 2, 3], "transaction_id": [5, 6, 7]})
