"""From staged tables to a graph: time order, links, and what is said about both."""

import re
from itertools import pairwise

import duckdb
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from foreknow.errors import SchemaError
from foreknow.graph.build import build_graph
from foreknow.graph.store import GraphStore
from foreknow.schema.table import Column, Schema, Table
from foreknow.source.snapshot import open_source, stage
from foreknow.testing.toy import SEED_TIMES, toy_schema
from foreknow.types import NEVER, NO_ROW, Stype


def reverse(store, e):
    pointer, child = store.pointers[e], store.children[e]
    return [child[a:b].tolist() for a, b in pairwise(pointer)]


def findings(store, name):
    return [f for f in store.findings if f.name == name]


# --- the toy, by hand ---------------------------------------------------------------------------------------


def test_rows_are_in_time_order_and_know_where_they_came_from(toy_store):
    transactions, customers = toy_store["transactions"], toy_store["customers"]
    assert transactions.file_row.tolist() == [0, 4, 1, 2, 3, 9, 10, 5, 6, 7, 8]  # 10 and 11 share an instant
    assert customers.file_row.tolist() == [0, 1, 3, 2]
    assert np.all(np.diff(transactions.time) >= 0)
    assert transactions.time[2] == SEED_TIMES[0]
    assert transactions.time[4] == SEED_TIMES[1]
    assert toy_store["articles"].time is toy_store["articles"].file_row is None


def test_links_lead_to_the_parent_row(toy_store):
    referred_by, customer, article = toy_store.parents
    assert [e.name for e in toy_store.edge_types] == ["f2p_referred_by", "f2p_customer_id", "f2p_article_id"]
    assert referred_by.tolist() == [NO_ROW, 0, NO_ROW, 0]
    assert customer.tolist() == [0, 1, 0, 0, 0, 0, 0, 1, 3, 3, 2]
    assert article.tolist() == [0, 1, 1, 0, 2, 0, 1, 1, 0, 2, 0]
    assert toy_store.findings == ()


def test_reverse_lists_hold_the_children_oldest_first(toy_store):
    assert reverse(toy_store, 0) == [[1, 3], [], [], []]
    assert reverse(toy_store, 1) == [[0, 2, 3, 4, 5, 6], [1, 7], [10], [8, 9]]
    assert reverse(toy_store, 2) == [[0, 3, 5, 8, 10], [1, 2, 6, 7], [4, 9]]


def test_the_cut_is_the_first_row_not_yet_seen(toy_store):
    """Both seed times fall exactly on a transaction; the first also on the arrival of customer 4."""
    times = np.array([0, SEED_TIMES[0] - 1, *SEED_TIMES, SEED_TIMES[1] + 1, NEVER - 1])
    assert toy_store["transactions"].cut(times).tolist() == [0, 2, 3, 5, 5, 11]
    assert toy_store["transactions"].cut(times, inclusive=False).tolist() == [0, 2, 2, 4, 5, 11]
    assert toy_store["customers"].cut(times).tolist() == [0, 2, 3, 4, 4, 4]
    assert toy_store["customers"].cut(times, inclusive=False).tolist() == [0, 2, 2, 4, 4, 4]
    assert toy_store["articles"].cut(times).tolist() == [3] * 6


# --- time ---------------------------------------------------------------------------------------------------


def test_equal_instants_keep_the_order_of_the_source(build):
    store = build(
        "CREATE TABLE t AS SELECT unnest([5, 3, 5, 3, 4, 3]) AS n, to_timestamp(n)::TIMESTAMP AS day",
        "t: {time: day, columns: {n: numerical}}",
    )
    assert store["t"].file_row.tolist() == [1, 3, 5, 4, 0, 2]
    assert store["t"].time.tolist() == [3, 3, 3, 4, 5, 5]
    assert store["t"].columns.numbers[:, 0].tolist() == [3, 3, 3, 4, 5, 5]


def test_a_table_in_time_order_is_not_renumbered(build):
    store = build("CREATE TABLE t AS SELECT to_timestamp(unnest([3, 3, 4])) AS day", "t: {time: day}")
    assert store["t"].file_row is None
    assert store["t"].to_row(np.array([2, -1])).tolist() == [2, -1]


def test_rows_without_time_come_last_and_are_never_seen(build):
    store = build(
        "CREATE TABLE t AS SELECT unnest(['2020-01-02', NULL, 'infinity', '2020-01-01', 'soon']) AS day",
        "t: {time: day}",
    )
    t = store["t"]
    assert t.file_row.tolist() == [3, 0, 1, 2, 4]
    assert t.time.tolist()[2:] == [NEVER] * 3
    assert (t.num_rows, t.num_timed) == (5, 2)
    assert t.cut(np.array([NEVER - 1, NEVER])).tolist() == [2, 2]
    assert store.time_range == (1577836800, 1577836800 + 86400)
    (finding,) = findings(store, "missing-time")
    assert str(finding) == (
        "table 't', column 'day': 3 of 5 rows have no time; they are never visible to a model\n"
        "  Hint: derive a time for them with sql, or drop the time column if the table doesn't change"
    )
    assert (finding.severity, finding.count) == ("warning", 3)


@settings(max_examples=8)
@given(st.lists(st.one_of(st.none(), st.integers(0, 5)), max_size=12))
def test_key_to_row_to_key(tmp_path_factory, times):
    """Row ids sort by time, and every row can be found again by its key whatever the order of the source."""
    folder = tmp_path_factory.mktemp("rows")
    listed = ", ".join("NULL" if t is None else str(t) for t in times)
    with duckdb.connect(str(folder / "x.duckdb")) as connection:
        connection.execute(
            "CREATE TABLE t AS SELECT id, s, to_timestamp(s)::TIMESTAMP AS day FROM "
            f"(SELECT unnest(range({len(times)})) AS id, unnest([{listed}]::BIGINT[]) AS s)"
        )
    columns = {"id": "BIGINT", "s": "BIGINT", "day": "TIMESTAMP"}
    stypes = {"id": Stype.NUMERICAL, "s": Stype.NUMERICAL, "day": Stype.TIMESTAMP}
    made = tuple(Column(name=c, dtype=d, stype=stypes[c]) for c, d in columns.items())
    schema = Schema({"t": Table(name="t", columns=made, time_column="day")})
    t = build_graph(stage(open_source(str(folder / "x.duckdb")), folder), schema, folder)["t"]
    keys = t.columns.numbers[:, 0].astype(int)
    file_rows = np.arange(len(times))
    assert keys[t.to_row(file_rows)].tolist() == file_rows.tolist()
    expected = sorted(range(len(times)), key=lambda i: NEVER if times[i] is None else times[i])
    assert keys.tolist() == expected
    assert t.time.tolist() == [NEVER if times[i] is None else times[i] for i in expected]


# --- links --------------------------------------------------------------------------------------------------


def test_dangling_links_are_absent_and_reported_with_examples(build):
    store = build(
        "CREATE TABLE a AS SELECT unnest([1, 2]) AS id; CREATE TABLE b AS SELECT unnest([2, 9, NULL, 8, 9]) AS a_id",
        "a: {key: id}\nb: {links: {a_id: a}}",
    )
    assert store.parents[0].tolist() == [1, NO_ROW, NO_ROW, NO_ROW, NO_ROW]
    assert reverse(store, 0) == [[], [0]]
    (finding,) = findings(store, "dangling-links")
    assert str(finding) == (
        "table 'b', column 'a_id': 3 of 5 values have no row in 'a' (e.g. 8, 9); these links count as absent\n"
        "  Hint: load the missing rows of 'a' if they exist"
    )
    assert (finding.severity, finding.count) == ("warning", 3)


def test_composite_keys_and_candidate_keys_can_be_linked_to(build):
    store = build(
        """
        CREATE TABLE teams AS SELECT * FROM (VALUES (2021, 'HOU', 'h@x'), (2022, 'HOU', 'i@x'), (2022, 'PHI', NULL))
            AS t("yearID", "teamID", mail);
        CREATE TABLE games AS SELECT * FROM (VALUES ('PHI', 2022, 'h@x'), ('HOU', 2021, 'nobody'), ('HOU', NULL, 'i@x'))
            AS t(team, season, judge);
        """,
        """
        teams: {key: [yearID, teamID], keys: [mail]}
        games:
          links:
            - {columns: [season, team], table: teams}
            - {columns: [judge], table: teams, to: [mail]}
        """,
    )
    by_team, by_mail = store.parents
    assert by_team.tolist() == [2, 0, NO_ROW]
    assert by_mail.tolist() == [0, NO_ROW, 1]
    assert [e.name for e in store.edge_types] == ["f2p_season+team", "f2p_judge"]


def test_of_rows_with_the_same_key_the_first_of_the_source_is_linked_to(build):
    store = build(
        """
        CREATE TABLE a AS SELECT * FROM (VALUES (1, DATE '2020-03-01'), (1, DATE '2020-01-01')) AS t(id, day);
        CREATE TABLE b AS SELECT 1 AS a_id;
        """,
        "a: {key: id, time: day}\nb: {links: {a_id: a}}",
    )
    assert store["a"].file_row[store.parents[0][0]] == 0


def test_tables_may_link_to_themselves_and_in_circles(build):
    store = build(
        """
        CREATE TABLE a AS SELECT unnest([1, 2, 3]) AS id, unnest([1, 3, NULL]) AS boss, unnest([7, 7, 8]) AS b_id;
        CREATE TABLE b AS SELECT unnest([7, 8]) AS id, unnest([3, 1]) AS a_id;
        """,
        "a: {key: id, links: {boss: a, b_id: b}}\nb: {key: id, links: {a_id: a}}",
    )
    assert [p.tolist() for p in store.parents] == [[0, 2, NO_ROW], [0, 0, 1], [2, 0]]
    assert [reverse(store, e) for e in range(3)] == [[[0], [], [1]], [[0, 1], [2]], [[1], [], [0]]]


def test_float_links_with_nan_are_links_with_gaps(build):
    store = build(
        "CREATE TABLE a AS SELECT unnest([5, 6]) AS id; "
        "CREATE TABLE b AS SELECT unnest([6, 'nan'::DOUBLE, 5, NULL]) AS a_id",
        "a: {key: id}\nb: {links: {a_id: a}}",
    )
    assert store.parents[0].tolist() == [1, NO_ROW, 0, NO_ROW]
    assert store.findings == ()


def test_rows_of_edge_tables_are_links_between_nodes(build):
    store = build(
        """
        CREATE TABLE users AS SELECT unnest([1, 2, 3]) AS id;
        CREATE TABLE follows AS SELECT * FROM (VALUES (3, 1, DATE '2020-02-01'), (1, 2, DATE '2020-01-01'))
            AS t(follower, followed, since);
        """,
        "users: {key: id}\nfollows: {kind: edge, time: since, links: {follower: users, followed: users}}",
    )
    assert store["follows"].file_row.tolist() == [1, 0]
    assert [p.tolist() for p in store.parents] == [[0, 2], [1, 0]]


def test_links_between_renumbered_tables_follow_both(build):
    store = build(
        """
        CREATE TABLE a AS SELECT unnest([1, 2, 3]) AS id, unnest([30, 20, 10]) AS s, to_timestamp(s) AS day;
        CREATE TABLE b AS SELECT unnest([1, 3, 9]) AS a_id, unnest([2, 3, 1]) AS s, to_timestamp(s) AS day;
        """,
        "a: {key: id, time: day}\nb: {time: day, links: {a_id: a}}",
    )
    assert store["a"].file_row.tolist() == [2, 1, 0]
    assert store["b"].file_row.tolist() == [2, 0, 1]
    assert store.parents[0].tolist() == [NO_ROW, 2, 0]
    assert reverse(store, 0) == [[2], [], [1]]


def test_links_into_an_empty_table_lead_nowhere(build):
    store = build(
        "CREATE TABLE a AS SELECT 1 AS id, DATE '2020-01-01' AS day LIMIT 0; CREATE TABLE b AS SELECT 1 AS a_id",
        "a: {key: id, time: day}\nb: {links: {a_id: a}}",
    )
    assert store.parents[0].tolist() == [NO_ROW]
    assert (store["a"].num_rows, store["a"].num_timed, store.time_range) == (0, 0, None)
    assert store["a"].to_row(np.array([-1])).tolist() == [-1]


# --- refusals -----------------------------------------------------------------------------------------------

MIXED = "CREATE TABLE a AS SELECT 7 AS id; CREATE TABLE b AS SELECT '007' AS \"it's a\", 5 AS day"


def test_texts_and_numbers_do_not_link_and_all_problems_are_told(build):
    with pytest.raises(SchemaError) as caught:
        build(MIXED, """a: {key: id}\nb: {time: day, links: {"it's a": a}}""")
    assert [f.name for f in caught.value.findings] == ["time-type", "key-type"]
    text = str(caught.value)
    assert text.startswith(
        "the graph can't be built: 2 problem(s).\n- table 'b', column 'day': the time column is INTEGER"
    )
    assert 'Hint: derive one: columns: {happened: {sql: "to_timestamp(seconds)"}} and time: happened' in text
    assert "- table 'b', column 'it's a': it is VARCHAR but links to a.id, which is INTEGER" in text


@pytest.mark.parametrize("name", ["a_id", 'it\'s: "a"'])
def test_the_proposed_column_can_be_pasted_into_the_project_file(build_from_file, name):
    quoted = '"' + name.replace('"', '""') + '"'
    sql = f"CREATE TABLE a AS SELECT unnest([3, 7]) AS id; CREATE TABLE b AS SELECT '007' AS {quoted}"
    tables = {"a": {"key": "id"}, "b": {"links": {name: "a"}}}
    with pytest.raises(SchemaError) as caught:
        build_from_file(sql, yaml.safe_dump(tables))
    pasted = yaml.safe_load(re.search(r"derived column of the same type: (.*)", str(caught.value)).group(1))
    tables["b"] = {"links": {f"{name}_key": "a"}, **pasted}
    assert build_from_file(sql, yaml.safe_dump(tables)).parents[0].tolist() == [1]


def test_tables_with_too_many_rows_are_refused(toy_snapshot, tmp_path, monkeypatch):
    monkeypatch.setattr("foreknow.graph.build.MAX_ROWS", 10)
    with pytest.raises(SchemaError, match="table 'transactions': 11 rows, at most 10"):
        build_graph(toy_snapshot, toy_schema(), tmp_path)


# --- names, and building once -------------------------------------------------------------------------------


def test_any_name_survives_the_whole_way(build_from_file):
    table, column, dotted, foreign = 'x"; DROP TABLE y', 'say "hi"; --', "a.b", "my.schema.parents"
    store = build_from_file(
        """
        CREATE SCHEMA "my.schema";
        CREATE TABLE "my.schema".parents AS SELECT unnest([10, 20]) AS "key.id", unnest(['é', '']) AS "na'me";
        CREATE TABLE children AS SELECT unnest([20, 10]) AS "a.b", unnest([1.5, 2.5]) AS "say ""hi""; --",
            unnest([DATE '2020-01-02', DATE '2020-01-01']) AS "the time";
        CREATE VIEW "x""; DROP TABLE y" AS FROM children;
        """,
        yaml.safe_dump(
            {
                foreign: {"key": "key.id", "columns": {"na'me": "categorical"}},
                table: {"links": {dotted: foreign}, "time": "the time", "columns": {column: "numerical"}},
            }
        ),
    )
    assert store.edge_types == ((table, "f2p_a.b", foreign),)
    assert store.parents[0].tolist() == [0, 1]
    assert store[table].columns.numbers[:, 0].tolist() == [2.5, 1.5]
    assert store[foreign].columns.dictionary("na'me").to_pylist() == ["", "é"]


def test_the_same_rows_and_schema_are_built_once(toy_snapshot, tmp_path):
    told = []
    first = build_graph(toy_snapshot, toy_schema(), tmp_path, progress=told.append)
    assert told == [
        "encoding customers (4 rows)",
        "encoding articles (3 rows)",
        "encoding transactions (11 rows)",
        "linking customers.referred_by to customers",
        "linking transactions.customer_id to customers",
        "linking transactions.article_id to articles",
    ]
    second = build_graph(toy_snapshot, toy_schema(), tmp_path, progress=told.append)
    assert (len(told), second.folder) == (6, first.folder)
    assert first.fingerprint == toy_snapshot.fingerprint


def test_another_schema_or_key_features_make_another_store(toy_snapshot, tmp_path):
    schema = toy_schema()
    stores = [
        build_graph(toy_snapshot, schema, tmp_path),
        build_graph(toy_snapshot, schema.with_stype("articles", "category", Stype.IGNORE), tmp_path),
        build_graph(toy_snapshot, schema, tmp_path, key_features=["articles"]),
    ]
    assert len({s.folder for s in stores}) == 3
    assert [s["articles"].columns.code_names for s in stores] == [("category",), (), ("category", "article_id")]
    build_graph(toy_snapshot, schema.with_stype("customers", "tier", Stype.IGNORE), tmp_path)
    assert [s.folder.exists() for s in stores] == [False, True, True]  # the three newest are kept


def test_a_failed_build_leaves_nothing_behind(toy_snapshot, tmp_path):
    schema = toy_schema().with_stype("articles", "category", Stype.EMBEDDING)
    with pytest.raises(SchemaError, match="table 'articles': column 'category' is VARCHAR, but embedding needs a list"):
        build_graph(toy_snapshot, schema, tmp_path)
    assert list((tmp_path / "graphs").iterdir()) == []


def test_a_store_another_process_finished_first_is_taken(toy_snapshot, toy_store, tmp_path):
    """The folder appears between the look and the rename."""

    def interfere(line):
        if line.startswith("linking transactions.article_id"):
            folder = tmp_path / "graphs" / toy_store.folder.name
            folder.mkdir()
            for path in sorted(toy_store.folder.rglob("*")):
                target = folder / path.relative_to(toy_store.folder)
                target.mkdir() if path.is_dir() else target.write_bytes(path.read_bytes())

    store = build_graph(toy_snapshot, toy_schema(), tmp_path, progress=interfere)
    assert isinstance(store, GraphStore)
    assert [p.name for p in (tmp_path / "graphs").iterdir()] == [toy_store.folder.name]


def test_tables_not_in_the_schema_do_not_matter(stage_sql, tmp_path):
    schema = Schema({"a": Table(name="a", columns=(Column(name="id", stype=Stype.KEY, dtype="INTEGER"),))})
    one = stage_sql("CREATE TABLE a AS SELECT 1 AS id; CREATE TABLE b AS SELECT 1 AS x")
    two = stage_sql("CREATE TABLE a AS SELECT 1 AS id; CREATE TABLE b AS SELECT 2 AS x")
    assert build_graph(one, schema, tmp_path).folder == build_graph(two, schema, tmp_path).folder
