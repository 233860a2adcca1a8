"""Staging: once per change, with a fingerprint of the content."""

import json
import os

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreknow.errors import SchemaError, SourceError, StoreError
from foreknow.source.duckdb import DuckDBSource
from foreknow.source.files import FolderSource
from foreknow.source.snapshot import Snapshot, open_source, resign, stage


def write(path, sql):
    path.unlink(missing_ok=True)
    with duckdb.connect(str(path)) as connection:
        connection.execute(sql)


def files(home):
    return sorted(p.name for p in home.rglob("*") if p.is_file())


# --- fingerprints -------------------------------------------------------------------------------------------

VALUES = st.tuples(
    st.one_of(st.none(), st.integers(-3, 3)),
    st.one_of(st.none(), st.sampled_from(["", "a", "b", "ab", "NULL"])),
    st.one_of(st.none(), st.sampled_from([0.0, 0.5, -1.0, 1e300])),
)
KINDS = "x BIGINT, y VARCHAR, z DOUBLE"


def fingerprints(folder, *tables):
    """Of tables given as columns and rows."""
    path = folder / "x.duckdb"
    with duckdb.connect(str(path)) as connection:
        for i, (columns, rows) in enumerate(tables):
            connection.execute(f"CREATE TABLE t{i} ({columns})")
            if rows:
                connection.executemany(f"INSERT INTO t{i} VALUES (?, ?, ?)", [list(r) for r in rows])
    snapshot = stage(DuckDBSource(path), folder)
    return [snapshot[f"t{i}"].fingerprint for i in range(len(tables))]


@settings(max_examples=8)
@given(st.data())
def test_the_fingerprint_knows_every_value_but_no_order(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("fingerprint")
    rows = data.draw(st.lists(VALUES, min_size=1, max_size=6))
    shuffled = data.draw(st.permutations(rows))
    i, j = data.draw(st.integers(0, len(rows) - 1)), data.draw(st.integers(0, 2))
    other = data.draw(VALUES.filter(lambda v: v[j] != rows[i][j]))[j]
    changed = [*rows[:i], (*rows[i][:j], other, *rows[i][j + 1 :]), *rows[i + 1 :]]
    first, second, third = fingerprints(folder, (KINDS, rows), (KINDS, shuffled), (KINDS, changed))
    assert first == second != third


def test_the_fingerprint_counts_rows_and_knows_names_and_types(tmp_path):
    row = (1, "a", 0.5)
    found = fingerprints(
        tmp_path,
        (KINDS, []),
        (KINDS, [row]),
        (KINDS, [row, row]),
        ("x BIGINT, y VARCHAR, w DOUBLE", [row]),
        ("x INTEGER, y VARCHAR, z DOUBLE", [row]),
        ("y BIGINT, x VARCHAR, z DOUBLE", [row]),
    )
    assert len(set(found)) == 6


def test_swapped_values_and_nested_changes_are_changes(stage_sql):
    def differ(*selects):
        snapshot = stage_sql("".join(f"CREATE TABLE t{i} AS SELECT {s};" for i, s in enumerate(selects)))
        return len({t.fingerprint for t in snapshot.tables.values()}) == len(selects)

    assert differ("1 AS x, 2 AS y", "2 AS x, 1 AS y", "NULL::INTEGER AS x, 1 AS y", "1 AS x, NULL::INTEGER AS y")
    lists = ["[1, 2]", "[2, 1]", "[1]", "[]", "NULL", "[NULL]", "[1, NULL]"]
    assert differ(*(f"{v}::INTEGER[] AS x" for v in lists))
    lists = ["[[1], [2]]", "[[1, 2]]", "[[1, 2], []]", "[[], [1, 2]]"]
    assert differ(*(f"{v}::INTEGER[][] AS x" for v in lists))
    assert differ("{'a': 1, 'b': NULL} AS x", "{'a': NULL, 'b': 1} AS x", "{'a': 1, 'b': 1} AS x")


def test_the_snapshot_has_one_fingerprint_for_all_tables(stage_sql):
    a = stage_sql("CREATE TABLE a AS SELECT 1 AS x; CREATE TABLE b AS SELECT 2 AS x")
    again = stage_sql("CREATE TABLE b AS SELECT 2 AS x; CREATE TABLE a AS SELECT 1 AS x")
    swapped = stage_sql("CREATE TABLE a AS SELECT 2 AS x; CREATE TABLE b AS SELECT 1 AS x")
    assert a.fingerprint == again.fingerprint != swapped.fingerprint
    assert len(a.fingerprint) == 16
    assert Snapshot(uri="x", tables={"a": a["a"]}).fingerprint != a.fingerprint


# --- once per change ----------------------------------------------------------------------------------------


def test_an_unchanged_source_is_not_read_again(toy, tmp_path):
    told = []
    first = stage(open_source(str(toy / "toy.duckdb")), tmp_path / "home", progress=told.append)
    assert told == ["reading articles", "reading customers", "reading transactions"]
    before = files(tmp_path / "home")
    times = [p.stat().st_mtime_ns for p in sorted((tmp_path / "home").rglob("*"))]
    second = stage(open_source(str(toy / "toy.duckdb")), tmp_path / "home", progress=told.append)
    assert second == first
    assert len(told) == 3
    assert files(tmp_path / "home") == before
    assert [p.stat().st_mtime_ns for p in sorted((tmp_path / "home").rglob("*"))] == times


def test_a_changed_source_is_read_again(toy, tmp_path):
    path, told = toy / "toy.duckdb", []
    first = stage(open_source(str(path)), tmp_path / "home")
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE customers SET age = 35 WHERE customer_id = 1")
    second = stage(open_source(str(path)), tmp_path / "home", progress=told.append)
    assert told == ["reading articles", "reading customers", "reading transactions"]
    same = [n for n in first.tables if first[n].fingerprint == second[n].fingerprint]
    assert same == ["articles", "transactions"]
    assert second.fingerprint != first.fingerprint


def test_of_a_folder_only_changed_files_are_read_again(tmp_path):
    (tmp_path / "a.csv").write_text("x\n1\n")
    (tmp_path / "b.csv").write_text("x\n1\n")
    told = []
    stage(FolderSource(tmp_path), tmp_path / ".home")
    (tmp_path / "b.csv").write_text("x\n12\n")
    staged = stage(FolderSource(tmp_path), tmp_path / ".home", progress=told.append)
    assert told == ["reading b"]
    assert duckdb.sql(f"FROM {staged['b'].relation}").fetchall() == [(12,)]


def test_the_two_newest_versions_of_a_table_are_kept(tmp_path):
    home, path = tmp_path / ".home", tmp_path / "t.csv"
    staged = []
    (tmp_path / "u.csv").write_text("x\n0\n")
    for i in range(4):
        path.write_text(f"x\n{10**i}\n")
        staged.append(stage(FolderSource(tmp_path), home)["t"])
        os.utime(staged[-1].path.with_suffix(".json"), (i, i))
    assert [s.path.exists() for s in staged] == [False, False, True, True]
    assert len([f for f in files(home) if f.startswith("t-")]) == 4
    assert len([f for f in files(home) if f.startswith("u-")]) == 2


def test_nothing_half_written_stays_behind(write_duckdb, tmp_path):
    path = write_duckdb("CREATE TABLE t AS SELECT unnest(['1', 'x']) AS x")
    with pytest.raises(SchemaError, match="table 't': can't stage it: Conversion Error: Could not convert string 'x'"):
        stage(DuckDBSource(path), tmp_path / "home", derived={"t": {"y": "CAST(x AS INTEGER)"}})
    assert files(tmp_path / "home") == []


def test_a_lost_file_is_staged_again(toy, tmp_path):
    source = open_source(str(toy / "toy.duckdb"))
    first = stage(source, tmp_path / "home")["articles"]
    first.path.unlink()
    assert stage(source, tmp_path / "home")["articles"] == first
    assert first.path.exists()


def test_another_format_is_said_with_what_to_do(toy, tmp_path):
    source = open_source(str(toy / "toy.duckdb"))
    sidecar = stage(source, tmp_path / "home")["articles"].path.with_suffix(".json")
    sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), "format": 99}))
    with pytest.raises(
        StoreError, match=r"is of format 99, this version reads 1\nHint: delete '.*'; it will be staged"
    ):
        stage(source, tmp_path / "home")


def test_sources_of_one_name_in_two_folders_do_not_mix(tmp_path):
    snapshots = []
    for folder, value in (("one", 1), ("two", 2)):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "db.duckdb", f"CREATE TABLE t AS SELECT {value} AS x")
        os.utime(tmp_path / folder / "db.duckdb", (0, 0))
        snapshots.append(stage(open_source("db.duckdb", base=tmp_path / folder), tmp_path / "home"))
    assert snapshots[0]["t"].path != snapshots[1]["t"].path


def test_writing_predictions_does_not_make_the_tables_new(toy, tmp_path):
    source, told = open_source(str(toy / "toy.duckdb")), []
    first = stage(source, tmp_path / "home")
    before = {name: source.signature(name) for name in first.tables}
    with duckdb.connect(str(toy / "toy.duckdb")) as connection:
        connection.execute("CREATE TABLE predictions AS SELECT 1 AS x")
    resign(source, tmp_path / "home", before)
    second = stage(source, tmp_path / "home", tables=list(first.tables), progress=told.append)
    assert told == []
    assert second.fingerprint == first.fingerprint
    assert len(files(tmp_path / "home")) == 6


def test_resigning_leaves_tables_alone_that_were_stale_before(toy, tmp_path):
    source, told = open_source(str(toy / "toy.duckdb")), []
    stage(source, tmp_path / "home")
    for age in (35, 36):  # a change by someone else, then one of ours
        before = {"customers": source.signature("customers")}
        with duckdb.connect(str(toy / "toy.duckdb")) as connection:
            connection.execute(f"UPDATE customers SET age = {age}")
    resign(source, tmp_path / "home", before)
    stage(source, tmp_path / "home", tables=["customers"], progress=told.append)
    assert told == ["reading customers"]


# --- derived columns ----------------------------------------------------------------------------------------


def test_derived_columns_come_last_and_may_use_any_column(stage_sql):
    staged = stage_sql(
        'CREATE TABLE season AS SELECT 2020 AS "yearID", [1, 2] AS games',
        derived={"season": {"season_end": 'make_date("yearID", 12, 31) -- the last day', "n": "len(games)"}},
    )["season"]
    assert staged.columns == {"yearID": "INTEGER", "games": "INTEGER[]", "season_end": "DATE", "n": "BIGINT"}
    assert duckdb.sql(f"SELECT season_end::VARCHAR, n FROM {staged.relation}").fetchall() == [("2020-12-31", 2)]


def test_a_derived_column_that_changes_is_computed_again(toy, tmp_path):
    source = open_source(str(toy / "toy.duckdb"))
    staged = [stage(source, tmp_path / "home", derived={"articles": {"d": sql}})["articles"] for sql in ("1", "2")]
    assert staged[0].fingerprint != staged[1].fingerprint
    assert stage(source, tmp_path / "home", derived={"articles": {"d": "1"}})["articles"] == staged[0]


def test_all_derived_columns_that_fail_are_named_at_once(stage_sql):
    derived = {"ok": "x + 1", "bad": "prise * 2", "worse": "x +", "X": "1", "ok2": "2", "OK2": "3", "void": " "}
    with pytest.raises(SchemaError) as caught:
        stage_sql("CREATE TABLE t AS SELECT 1 AS x, 2.5 AS price", derived={"t": derived})
    intro, *problems = str(caught.value).splitlines()
    assert intro == "table 't': 5 derived column(s) can't be computed:"
    assert problems[0].startswith("- column 'bad': Binder Error: Referenced column \"prise\" not found")
    assert "price" in problems[0]
    assert problems[1].startswith("- column 'worse': Parser Error: syntax error")
    assert problems[2:] == [
        "- column 'X' exists already; derive it under another name",
        "- column 'OK2' exists already; derive it under another name",
        "- column 'void': its SQL is empty",
    ]


# --- opening and looking up ---------------------------------------------------------------------------------


def test_only_the_tables_asked_for_are_staged(toy, tmp_path):
    told = []
    snapshot = stage(open_source(str(toy / "toy.duckdb")), tmp_path / "home", tables=["articles"], progress=told.append)
    assert (list(snapshot.tables), told) == (["articles"], ["reading articles"])
    with pytest.raises(SourceError, match=r"has no table 'customers'\nHint: Tables: articles\."):
        snapshot["customers"]


def test_missing_tables_are_named_with_near_matches(toy, tmp_path):
    with pytest.raises(
        SourceError, match=r"2 table\(s\) are not in '.*': 'customer', 'x'\nHint: did you mean 'customers'"
    ):
        stage(open_source(str(toy / "toy.duckdb")), tmp_path / "home", tables=["articles", "customer", "x"])


def test_sources_are_told_apart_by_what_is_there(toy, tmp_path):
    (tmp_path / "csv").mkdir()
    (tmp_path / "csv" / "t.csv").write_text("x\n1\n")
    assert isinstance(open_source("toy.duckdb", base=toy), DuckDBSource)
    assert isinstance(open_source("csv", base=tmp_path), FolderSource)
    assert isinstance(open_source(str(tmp_path / "csv" / "t.csv")), FolderSource)
    with pytest.raises(SourceError, match="sources of kind 'postgresql' can't be read by this version\nHint: give a"):
        open_source("postgresql://localhost/db")
    with pytest.raises(SourceError, match="there is no DuckDB file"):
        open_source("nothing.duckdb", base=tmp_path)
    with pytest.raises(SourceError, match="there is no folder or file"):
        open_source("nothing.csv", base=tmp_path)


def test_a_connection_sees_every_table_by_name_in_utc(stage_sql):
    snapshot = stage_sql(
        "CREATE TABLE t AS SELECT 1 AS x; CREATE SCHEMA crm; CREATE TABLE crm.u AS SELECT 2 AS x; "
        'CREATE TABLE "a.b" AS SELECT 3 AS x; CREATE TABLE "it\'s; ""odd""" AS SELECT 4 AS x'
    )
    with snapshot.connect() as connection:
        for name, value in [("t", 1), ("crm.u", 2), ('"crm.u"', 2), ('"a.b"', 3), ('"it\'s; ""odd"""', 4)]:
            assert connection.sql(f"FROM {name}").fetchall() == [(value,)]
        assert connection.sql("SELECT current_setting('TimeZone')").fetchall() == [("UTC",)]


def test_numbered_rows_count_from_zero_in_file_order(toy_snapshot):
    rows = duckdb.sql(
        f"SELECT file_row_number, article_id FROM {toy_snapshot['articles'].numbered_relation}"
    ).fetchall()
    assert rows == [(0, 10), (1, 11), (2, 12)]


def test_a_column_called_like_the_row_number_is_refused(stage_sql):
    with pytest.raises(SourceError, match=r"table 't': a column can't be called 'file_row_number'.*\nHint: rename it"):
        stage_sql("CREATE TABLE t AS SELECT 1 AS File_Row_Number")


def test_every_type_can_be_staged(stage_sql):
    kept_as = {
        "gen_random_uuid()": "UUID",
        "'a'::ENUM('a', 'b')": "VARCHAR",
        "TIME '10:00'": "TIME",
        "INTERVAL 1 DAY": "INTERVAL",
        "'{\"a\": 1}'::JSON": "JSON",
        "'ab'::BLOB": "BLOB",
        "{'a': 1}": "STRUCT(a INTEGER)",
        "MAP {'a': 1}": "MAP(VARCHAR, INTEGER)",
        "[1, 2]::FLOAT[2]": "FLOAT[]",
        "TIMESTAMP_S '2020-01-01'": "TIMESTAMP",
        "TIMESTAMP_NS '2020-01-01 00:00:00.000000001'": "TIMESTAMP_NS",
        "'infinity'::TIMESTAMP": "TIMESTAMP",
        "1.5::DECIMAL(9, 2)": "DECIMAL(9,2)",
        "18446744073709551615::UBIGINT": "UBIGINT",
        "NULL": '"NULL"',
    }
    snapshot = stage_sql("".join(f"CREATE VIEW v{i:02} AS SELECT {v} AS x;" for i, v in enumerate(kept_as)))
    assert [t.columns["x"] for t in snapshot.tables.values()] == list(kept_as.values())
    assert {t.num_rows for t in snapshot.tables.values()} == {1}
