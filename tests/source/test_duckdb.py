import os

import duckdb
import pytest

from foreknow.errors import SourceError
from foreknow.schema.profile import Declared
from foreknow.schema.table import ForeignKey
from foreknow.source.duckdb import DuckDBSource, file_signature

SHOP = """
CREATE TABLE customers (id BIGINT PRIMARY KEY, email VARCHAR UNIQUE, country VARCHAR, passport VARCHAR,
                        UNIQUE (country, passport));
CREATE TABLE orders (id BIGINT, customer_id BIGINT REFERENCES customers (id), total DECIMAL(9, 2));
CREATE SCHEMA crm;
CREATE TABLE crm.visits (id INTEGER PRIMARY KEY);
CREATE TABLE crm.calls (visit INTEGER REFERENCES crm.visits (id), since TIMESTAMPTZ);
CREATE VIEW big_orders AS SELECT * FROM orders WHERE total > 100;
CREATE VIEW crm.recent AS SELECT * FROM crm.calls;
"""


def rows(source, table):
    with duckdb.connect() as connection:
        return connection.sql(f"FROM {source.relation(table, connection)}").fetchall()


def test_tables_and_views_are_listed_with_those_of_main_first(write_duckdb):
    tables = DuckDBSource(write_duckdb(SHOP)).tables()
    assert list(tables) == ["big_orders", "customers", "orders", "crm.calls", "crm.recent", "crm.visits"]
    assert tables["orders"].columns == {"id": "BIGINT", "customer_id": "BIGINT", "total": "DECIMAL(9,2)"}
    assert tables["big_orders"].columns == tables["orders"].columns
    assert tables["crm.recent"].columns == {"visit": "INTEGER", "since": "TIMESTAMP WITH TIME ZONE"}


def test_declared_keys_and_links_are_passed_on(write_duckdb):
    tables = DuckDBSource(write_duckdb(SHOP)).tables()
    assert tables["customers"].declared == Declared(
        primary_key=("id",), unique=(("email",), ("country", "passport")), foreign_keys=()
    )
    assert tables["orders"].declared.foreign_keys == (
        ForeignKey(columns=("customer_id",), table="customers", to=("id",)),
    )
    assert tables["crm.calls"].declared.foreign_keys == (
        ForeignKey(columns=("visit",), table="crm.visits", to=("id",)),
    )
    assert tables["big_orders"].declared == Declared()


def test_names_are_just_names(write_duckdb):
    source = DuckDBSource(
        write_duckdb("""
            CREATE TABLE "x""; DROP TABLE y" AS SELECT 1 AS "a.b", 2 AS "c""d", 3 AS "select";
            CREATE TABLE "north.sales" AS SELECT 4 AS v;
            CREATE SCHEMA "my.schema";
            CREATE TABLE "my.schema"."t" AS SELECT 5 AS v;
            CREATE SCHEMA north;
            CREATE TABLE north.returns AS SELECT 6 AS v;
        """)
    )
    tables = source.tables()
    assert list(tables) == ["north.sales", 'x"; DROP TABLE y', "my.schema.t", "north.returns"]
    assert list(tables['x"; DROP TABLE y'].columns) == ["a.b", 'c"d', "select"]
    assert {t: rows(source, t) for t in tables} == {
        "north.sales": [(4,)],
        'x"; DROP TABLE y': [(1, 2, 3)],
        "my.schema.t": [(5,)],
        "north.returns": [(6,)],
    }


def test_views_read_the_tables_of_their_own_file(write_duckdb):
    source = DuckDBSource(write_duckdb(SHOP + "INSERT INTO orders VALUES (1, NULL, 50), (2, NULL, 500);"))
    assert [r[0] for r in rows(source, "big_orders")] == [2]


def test_several_tables_can_be_read_in_one_connection(write_duckdb):
    source = DuckDBSource(write_duckdb("CREATE TABLE a AS SELECT 1 AS x; CREATE TABLE b AS SELECT 2 AS y"))
    with duckdb.connect() as connection:
        a, b = source.relation("a", connection), source.relation("b", connection)
        assert connection.sql(f"FROM {a}, {b}").fetchall() == [(1, 2)]


def test_the_file_is_only_read(write_duckdb):
    path = write_duckdb(SHOP)
    before = path.read_bytes()
    source = DuckDBSource(path)
    with duckdb.connect() as connection, pytest.raises(duckdb.Error, match="read-only"):
        connection.execute(f"DELETE FROM {source.relation('orders', connection)}")
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_the_signature_changes_with_the_file_and_its_log(write_duckdb):
    path = write_duckdb("CREATE TABLE t AS SELECT 1 AS x")
    source = DuckDBSource(path)
    first = source.signature("t")
    assert source.signature("t") == first
    log = path.with_name(path.name + ".wal")
    log.write_bytes(b"x")
    second = source.signature("t")
    log.unlink()
    os.utime(path, ns=(0, 0))
    assert len({first, second, source.signature("t")}) == 3


def test_a_signature_leaves_missing_files_out(tmp_path):
    (tmp_path / "a").write_text("12")
    os.utime(tmp_path / "a", ns=(5, 7))
    assert file_signature(tmp_path / "a", tmp_path / "b") == "a:2:7"


def test_what_cannot_be_opened_is_said_with_what_to_do(write_duckdb, tmp_path):
    with pytest.raises(SourceError, match=r"there is no DuckDB file '.*nowhere.duckdb'\nHint: check the path"):
        DuckDBSource(tmp_path / "nowhere.duckdb")
    (tmp_path / "text.duckdb").write_text("hello " * 1000)
    with pytest.raises(
        SourceError, match=r"(?s)can't open DuckDB file.*not a valid DuckDB.*is it a DuckDB file, and of"
    ):
        DuckDBSource(tmp_path / "text.duckdb").tables()
    with pytest.raises(SourceError, match=r"there are no tables in '.*0.duckdb'"):
        DuckDBSource(write_duckdb("SELECT 1")).tables()


def test_a_file_this_process_has_open_is_said_to_be_so(write_duckdb):
    path = write_duckdb("CREATE TABLE t AS SELECT 1 AS x")
    with (
        duckdb.connect(str(path)),
        pytest.raises(SourceError, match="Hint: this process holds it open: close that connection first"),
    ):
        DuckDBSource(path).tables()


def test_a_view_that_fits_no_more_does_not_hide_the_other_tables(write_duckdb):
    path = write_duckdb("CREATE TABLE t AS SELECT 1 AS x; CREATE VIEW v AS SELECT x FROM t; DROP TABLE t")
    source = DuckDBSource(path)
    assert "v" in source.tables()
