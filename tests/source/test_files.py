"""CSV and Parquet as people have them: nothing lost, no code turned into a number, and clear words otherwise."""

import datetime as dt
import gzip

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreknow.errors import SourceError
from foreknow.source import files
from foreknow.source.files import FolderSource
from foreknow.source.snapshot import open_source, stage


@pytest.fixture
def folder(tmp_path):
    """Write files below a folder: names as keys, text or bytes as values."""

    def write(contents):
        for name, content in contents.items():
            path = tmp_path / "data" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path / "data"

    return write


@pytest.fixture
def read(folder, tmp_path):
    """Types and rows of one table, read the way a project is."""

    def run(contents, table="t"):
        staged = stage(open_source(str(folder(contents))), tmp_path / "home")[table]
        return dict(staged.columns), duckdb.sql(f"FROM {staged.relation}").fetchall()

    return run


def parquet(select, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    duckdb.sql(f"COPY ({select}) TO '{path}' (FORMAT parquet)")


@pytest.fixture
def small_sample(monkeypatch):
    """Two rows decide the types of a text file at first."""
    monkeypatch.setattr(files, "SAMPLE_ROWS", 2)


def test_types_are_found(read):
    types, rows = read({"t.csv": "i,f,d,ts,b,s\n1,1.5,2020-01-31,2020-01-31 10:00:00,true,x\n-2,2,,,false,\n"})
    assert list(types.values()) == ["BIGINT", "DOUBLE", "DATE", "TIMESTAMP", "BOOLEAN", "VARCHAR"]
    assert rows == [
        (1, 1.5, dt.date(2020, 1, 31), dt.datetime(2020, 1, 31, 10), True, "x"),
        (-2, 2.0, None, None, False, None),
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", b"a,b\n1,x\n"),
        ("t.CSV", b"a,b\r\n1,x\r\n"),
        ("t.tsv", b"a\tb\n1\tx\n"),
        ("t.csv.gz", gzip.compress(b"a;b\n1;x\n", mtime=0)),
        ("t.tsv.gz", gzip.compress(b"a\tb\n1\tx", mtime=0)),
        ("t.csv", b"\xef\xbb\xbfa|b\n1|x\n"),
        ("t.csv", b'"a", "b"\n1, "x"\n'),
    ],
)
def test_separators_line_ends_compression_and_byte_order_marks(read, name, content):
    assert read({name: content}) == ({"a": "BIGINT", "b": "VARCHAR"}, [(1, "x")])


def test_an_empty_field_is_null_and_na_is_a_text(read):
    types, rows = read({"t.csv": 'a,b,c\nNA,,""\nNULL,1,x\n'})
    assert rows == [("NA", None, None), ("NULL", 1, "x")]
    assert types == {"a": "VARCHAR", "b": "BIGINT", "c": "VARCHAR"}


def test_quoted_fields_hold_separators_quotes_and_line_ends(read):
    _, rows = read({"t.csv": 'name,note\n"a, b","say ""hi"""\n"two\nlines",#1\n'})
    assert rows == [("a, b", 'say "hi"'), ("two\nlines", "#1")]


def test_fields_quoted_only_after_the_sample_lose_their_quotes(read, small_sample):
    plain = "a,b\n" + "x,y\n" * 5000
    _, rows = read({"t.csv": plain + '"z","say ""hi"", all"\n'})
    assert rows[-1] == ("z", 'say "hi", all')


def test_inches_are_no_quotes(read):
    _, rows = read({"t.csv": 'id,size\n1,5" pipe\n2,"\n3,b\n'})
    assert [r[1] for r in rows] == ['5" pipe', '"', "b"]


def test_all_text_files_keep_their_header(read):
    assert read({"t.csv": "name,city\nann,rome\nbob,oslo\n"}) == (
        {"name": "VARCHAR", "city": "VARCHAR"},
        [("ann", "rome"), ("bob", "oslo")],
    )


def test_a_header_without_rows_is_an_empty_table(read):
    assert read({"t.csv": "id,name\n"}) == ({"id": "VARCHAR", "name": "VARCHAR"}, [])


def test_values_that_begin_like_a_comment_are_values(read):
    _, rows = read({"t.csv": "colour,n\n#fff,1\n#000,2\nred,3\n"})
    assert rows == [("#fff", 1), ("#000", 2), ("red", 3)]


def test_column_names_are_made_unique(read):
    types, rows = read({"t.csv": "id,id,ID,\n1,2,3,4\n"})
    assert len({c.lower() for c in types}) == 4
    assert rows == [(1, 2, 3, 4)]


@pytest.mark.parametrize(
    ("header", "values", "expected"),
    [
        ("day", ["31.12.2020", "01.02.2021"], [dt.date(2020, 12, 31), dt.date(2021, 2, 1)]),
        ("day", ["12/31/2020", "01/02/2021"], [dt.date(2020, 12, 31), dt.date(2021, 1, 2)]),
        ("at", ["31.12.2020 10:00:00", ""], [dt.datetime(2020, 12, 31, 10), None]),
    ],
)
def test_dates_are_read_in_other_orders_than_iso(read, header, values, expected):
    types, rows = read({"t.csv": "\n".join([f"{header},n", *(f"{v},1" for v in values)]) + "\n"})
    assert types[header] == ("DATE" if header == "day" else "TIMESTAMP")
    assert [r[0] for r in rows] == expected


def test_instants_with_an_offset_keep_it(folder, tmp_path):
    where = folder({"t.csv": "at,n\n2020-01-01T10:00:00Z,1\n2020-01-01T10:00:00+02:00,2\n"})
    staged = stage(FolderSource(where), tmp_path / "home")["t"]
    assert staged.columns["at"] == "TIMESTAMP WITH TIME ZONE"
    assert duckdb.sql(f'SELECT epoch("at") FROM {staged.relation} ORDER BY n').fetchall() == [
        (1577872800,),
        (1577865600,),
    ]


# --- what the sample did not show ---------------------------------------------------------------------------


def test_leading_zeros_make_a_code(read):
    types, rows = read({"t.csv": "code,n,z\n0108775015,1,0\n108775015,-2,0.5\n"})
    assert types == {"code": "VARCHAR", "n": "BIGINT", "z": "DOUBLE"}
    assert [r[0] for r in rows] == ["0108775015", "108775015"]


MANY = "".join(f"{i}\n" for i in range(3000))  # the sniffer looks at 2,048 rows at least


@pytest.mark.parametrize(
    ("last", "dtype", "value"),
    [
        ("007", "VARCHAR", "007"),
        ("1_000", "VARCHAR", "1_000"),
        ("123456789012345678901234", "VARCHAR", "123456789012345678901234"),
        ("oops", "VARCHAR", "oops"),
        ("2.5", "DOUBLE", 2.5),
        (" 12 ", "BIGINT", 12),
        ("", "BIGINT", None),
    ],
)
def test_a_value_after_the_sample_is_not_bent_to_an_integer(read, small_sample, last, dtype, value):
    types, rows = read({"t.csv": f"a,b\n{MANY.replace(chr(10), ',x' + chr(10))}{last},x\n"})
    assert types == {"a": dtype, "b": "VARCHAR"}
    assert rows[-1] == (value, "x")
    assert len(rows) == 3001
    assert rows[7][0] == ("7" if dtype == "VARCHAR" else 7)


def test_leading_zeros_among_fractions_make_a_code(read, small_sample):
    types, rows = read({"t.csv": f"a\n0.5\n{MANY}007\n"})
    assert (types, rows[-1]) == ({"a": "VARCHAR"}, ("007",))


def test_a_date_that_is_none_after_the_sample_is_a_text(read, small_sample):
    types, rows = read({"t.csv": "day,n\n" + "2020-01-01,1\n" * 3000 + "later,1.5\n"})
    assert types == {"day": "VARCHAR", "n": "DOUBLE"}
    assert (rows[0], rows[-1]) == (("2020-01-01", 1.0), ("later", 1.5))


def test_numbers_too_long_for_an_integer_are_codes(read):
    long, longer = ["123456789012345678901234", "123456789012345678901235"], ["9" * 40, "9" * 39 + "8"]
    text = "id,far,n\n" + "".join(f"{a},{b},{i}.5\n" for i, (a, b) in enumerate(zip(long, longer, strict=True)))
    types, rows = read({"t.csv": text})
    assert types == {"id": "VARCHAR", "far": "VARCHAR", "n": "DOUBLE"}
    assert [r[:2] for r in rows] == list(zip(long, longer, strict=True))


CELLS = st.one_of(
    st.sampled_from(["0", "007", "-1", "1.5", "1e3", "NA", "nan", "true", "2020-01-31", "31.12.2020", "10:00", ""]),
    st.integers(-(10**25), 10**25).map(str),
    st.from_regex(r"[a-z#' ]{0,4}x", fullmatch=True),
)


@settings(max_examples=8)
@given(st.lists(st.lists(CELLS, min_size=1, max_size=6), min_size=1, max_size=8))
def test_distinct_codes_stay_distinct(tmp_path_factory, columns):
    """Whatever types are chosen, two integers or texts of a column never become one."""
    columns = [list(dict.fromkeys(c for c in cells if c.isdigit() or c.endswith("x"))) for cells in columns]
    home = tmp_path_factory.mktemp("cells")
    lines = [",".join(["n", *(f"c{j}" for j in range(len(columns)))])]
    lines += [",".join([str(i), *(c[i] if i < len(c) else "" for c in columns)]) for i in range(6)]
    (home / "t.csv").write_text("\n".join(lines) + "\n")
    relation = stage(FolderSource(home), home / "home")["t"].relation
    counts = duckdb.sql(f"SELECT count(DISTINCT COLUMNS('c.*')) FROM {relation}").fetchall()[0]
    assert list(counts) == [len(c) for c in columns]


# --- parts --------------------------------------------------------------------------------------------------


def test_a_sub_folder_is_one_table_in_parts(read):
    types, rows = read({"t/1.csv": "a,b\n1,x\n", "t/deep/2.csv": "b,a\ny,2\n", "t/_SUCCESS": "", "t/readme.txt": "hi"})
    assert types == {"a": "BIGINT", "b": "VARCHAR"}
    assert sorted(rows) == [(1, "x"), (2, "y")]


def test_parts_may_lack_columns_and_widen_types(read):
    types, rows = read(
        {
            "t/1.csv": "a,b,d\n1,1,01.02.2020\n",
            "t/2.csv": "a,b,c,d\nx,2.5,true,\n",
            "t/3.csv": "a,b,c,d\n2,3,,31.12.2020\n",
        }
    )
    assert types == {"a": "VARCHAR", "b": "DOUBLE", "d": "DATE", "c": "BOOLEAN"}
    assert sorted(rows) == [
        ("1", 1.0, dt.date(2020, 2, 1), None),
        ("2", 3.0, dt.date(2020, 12, 31), None),
        ("x", 2.5, None, True),
    ]


def test_a_later_part_may_break_the_types_of_the_first(read):
    types, rows = read({"t/1.csv": "a,b\n1,5\n", "t/2.csv": "a,b\nx,007\n"})
    assert types == {"a": "VARCHAR", "b": "VARCHAR"}
    assert sorted(rows) == [("1", "5"), ("x", "007")]


def test_empty_parts_count_for_nothing(read):
    types, rows = read({"t/0.csv": "", "t/1.csv": "a,b\n", "t/2.csv": "a,b\n1,2\n"})
    assert (types, rows) == ({"a": "BIGINT", "b": "BIGINT"}, [(1, 2)])


def test_parts_cut_differently_are_refused(folder):
    source = FolderSource(folder({"t/1.csv": "a,b\n1,2\n", "t/2.csv": "a;b\n3;4\n"}))
    with pytest.raises(
        SourceError, match=r"table 't': its parts are written differently: '1.csv' is cut at ',', '2.csv'"
    ):
        source.tables()


def test_parquet_parts_are_joined_by_name(read, tmp_path):
    parquet("SELECT 1 AS a, 'x' AS b", tmp_path / "data/t/p1.parquet")
    parquet("SELECT 2.5 AS a, DATE '2020-01-01' AS c", tmp_path / "data/t/p2.parquet")
    types, rows = read({})
    assert list(types) == ["a", "b", "c"]
    assert len(rows) == 2


def test_partition_folders_are_columns_but_folders_above_are_not(read, tmp_path):
    parquet("SELECT 1 AS a", tmp_path / "data/t/year=2020/p.parquet")
    parquet("SELECT 2 AS a", tmp_path / "data/t/year=2021/p.parquet")
    types, rows = read({})
    assert (list(types), rows) == (["a", "year"], [(1, 2020), (2, 2021)])
    parquet("SELECT 1 AS a", tmp_path / "run=3/data/t.parquet")
    staged = stage(FolderSource(tmp_path / "run=3/data"), tmp_path / "run=3/home")["t"]
    assert list(staged.columns) == ["a"]
    assert duckdb.sql(f"FROM {staged.relation}").columns == ["a"]


def test_a_single_file_is_a_source(folder, tmp_path):
    path = folder({"sales.csv": "a\n1\n", "other.csv": "b\n1\n"}) / "sales.csv"
    assert list(open_source(str(path)).tables()) == ["sales"]
    parquet("SELECT 1 AS x", tmp_path / "one.parquet")
    assert open_source("one.parquet", base=tmp_path).tables()["one"].columns == {"x": "INTEGER"}


def test_hidden_files_and_other_kinds_are_passed_over(folder):
    source = FolderSource(
        folder({"a.csv": "x\n1\n", ".b.csv": "x\n1\n", "_c.csv": "x\n1\n", "d.txt": "x", "empty/e.md": "x"})
    )
    assert list(source.tables()) == ["a"]


def test_the_signature_covers_all_parts(folder):
    where = folder({"t/1.csv": "a\n1\n", "t/2.csv": "a\n2\n", "u.csv": "a\n1\n"})
    source = FolderSource(where)
    t, u = source.signature("t"), source.signature("u")
    (where / "t/2.csv").write_text("a\n22\n")
    assert source.signature("t") != t
    assert source.signature("u") == u


# --- what cannot be read ------------------------------------------------------------------------------------

UNEVEN = "differ in their number of fields \\(cut at ','\\)\nHint: the first line names the columns"


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({}, "there is no folder or file"),
        ({"readme.md": "x"}, "no tables in .*\nHint: a folder source holds one .csv, .csv.gz or .parquet file"),
        ({"t.csv": ""}, "table 't': the file 't.csv' is empty"),
        ({"t.csv": "id,x\n1,2\n3\n4,5,6\n"}, UNEVEN),
        ({"t.csv": "id,x\n" + "1,2\n" * 100 + "3\n"}, UNEVEN),
        ({"t.csv": "id,x\n" + "1,2,3\n" * 100}, UNEVEN),
        ({"t.csv": "id,x,y\n" + "1,2\n" * 100}, UNEVEN),
        ({"t.csv": "id,x\n1,\xe9\n".encode("latin-1")}, "table 't': can't read CSV: .*This file is not utf-8 encoded"),
        ({"t.csv.gz": "id,x\n"}, "table 't': can't read CSV: .*not a GZIP stream"),
        ({"t.parquet": "id,x\n" * 10}, "table 't': can't read Parquet: .*No magic bytes found"),
        ({"t/a.csv": "x\n1\n", "t/b.parquet": ""}, "folder 't' mixes CSV and Parquet files\nHint: keep one kind"),
        ({"t.csv": "x\n1\n", "t/a.csv": "x\n1\n"}, "1 table name\\(s\\) occur twice in .*: t\nHint: a table is either"),
        ({"t.csv": "x\n1\n", "T.tsv": "x\n1\n"}, "1 table name\\(s\\) occur twice in .*: t\n"),
    ],
)
def test_what_cannot_be_read_is_said(folder, contents, message):
    where = folder(contents)
    with pytest.raises(SourceError, match=f"(?s){message}"):
        FolderSource(where).tables()


def test_titles_above_the_header_are_passed_over(read):
    assert read({"t.csv": "Sales of 2020\n\na,b\n1,2\n"}) == ({"a": "BIGINT", "b": "BIGINT"}, [(1, 2)])


def test_a_line_that_breaks_late_is_named(folder, tmp_path, small_sample):
    source = FolderSource(folder({"t.csv": "id,x\n" + "1,2\n" * 50_000 + "6\n"}))
    with pytest.raises(SourceError, match=r"table 't': can't read it: .*Line: 50002 .*Expected Number of Columns: 2"):
        stage(source, tmp_path / "home")
