"""The worked examples of the language, label by label, and the rules behind them."""

# ruff: noqa: E501  # a query and what is said of it stand on one line

from datetime import datetime

import duckdb
import pytest

from foreknow.schema.table import ForeignKey, Schema
from foreknow.task.query.bind import bind
from foreknow.task.query.compile import compile_labels, compile_scoring
from foreknow.task.query.parse import parse
from foreknow.testing.toy import SEED_TIMES, make_table, toy_schema

EACH = " FOR EACH customers.customer_id"


PAIRS = [
    ("2024-01-31", 1),
    ("2024-01-31", 2),
    ("2024-01-31", 4),
    ("2024-03-01", 1),
    ("2024-03-01", 2),
    ("2024-03-01", 3),
    ("2024-03-01", 4),
]
NO = None  # dropped, or not a seed

COUNT = "COUNT(transactions.*, 0, 30, days)"
ITEMS = "LIST_DISTINCT(transactions.article_id, 0, 30, days) RANK TOP 2"
EXAMPLES = {
    f"{COUNT} = 0": [False, True, True, False, False, False, True],
    "SUM(transactions.price, 0, 30, days) .. WHERE COUNT(transactions.*, -30, 0, days) > 0":
        [135, 0, NO, 95, NO, NO, NO],
    "LAST(transactions.channel, 0, 30, days)": ["web", NO, NO, "store", "web", "web", NO],
    f"{ITEMS} AMONG NEW": [[12], NO, NO, NO, NO, [10, 12], NO],
    "COUNT(transactions.* WHERE articles.category = 'shoes' AND transactions.price >= 60, 0, 30, days) > 0 AND "
    "NOT EXISTS(transactions.* WHERE transactions.channel = 'store', 0, 30, days)":
        [True, False, False, False, False, False, False],
    "SUM(transactions.price VIA (transactions.customer_id, customers.referred_by), 0, 30, days)":
        [0, 0, 0, 140, 0, 0, 0],
    "COUNT(transactions.*, 0, 1, month)": [1, 0, 0, 2, 1, 2, 0],
    "FIRST(transactions.channel, 0, 30, days)": ["web", NO, NO, "web", "web", "store", NO],
    "AVG(transactions.price, 0, 30, days)": [67.5, NO, NO, 47.5, NO, 70, NO],
    ITEMS: [[10, 12], NO, NO, [10, 11], [11], [10, 12], NO],
    f"{ITEMS} AMONG ALL": [[10, 12], NO, NO, [10, 11], [11], [10, 12], NO],
    f"{ITEMS} AMONG PAST": [[10], NO, NO, [10, 11], [11], NO, NO],
    "LIST_DISTINCT(transactions.channel, 0, 30, days) CLASSIFY":
        [["web"], NO, NO, ["store", "web"], ["web"], ["store", "web"], NO],
    "SUM(transactions.price, 0, 30, days) .. "
    "ASSUMING COUNT(transactions.* WHERE transactions.channel = 'store', 0, 7, days) > 0":
        [NO, NO, NO, 95, NO, NO, NO],
    # not in the table, worked out the same way
    "SUM(transactions.price, 0, 30) IS NULL": [False, True, True, False, True, False, True],
    "COUNT(transactions.price, 0, 30)": [2, 0, 0, 2, 0, 2, 0],
    "AVG(transactions.price, 0, 30) > 60 OR COUNT(transactions.*, 0, 30) > 0":
        [True, NO, NO, True, True, True, NO],
    "LIST_DISTINCT(transactions.channel, 0, 30) CONTAINS 'store'": [False, False, False, True, False, True, False],
    "MIN(transactions.price, 0, 30)": [60, NO, NO, 20, NO, 60, NO],
    f"{COUNT} > 0 .. WHERE customers.tier = 'gold' OR customers.age IS NULL":
        [True, False, NO, True, True, NO, NO],
    f"{COUNT} > 0 .. WHERE COUNT(transactions.*, -INF, 0) > 3": [NO, NO, NO, True, NO, NO, NO],
    "SUM(transactions.price, 0, 10) FORECAST 3 TIMEFRAMES":
        [[0, 75, 60], [0, 0, 0], [0, 0, 0], [95, 0, 0], [0, 0, 0], [0, 80, 60], [0, 0, 0]],
    "COUNT(transactions.*, 0, 1, month) FORECAST 2 TIMEFRAMES":
        [[1, 3], [0, 1], [0, 0], [2, 0], [1, 0], [2, 0], [0, 1]],
}  # fmt: skip


@pytest.mark.parametrize("target", EXAMPLES)
def test_examples_give_exactly_their_labels(labels, target):
    head, dots, tail = target.partition(" ..")
    rows = labels(f"PREDICT {head}{EACH}{tail if dots else ''}")
    expected = [(day, e, v) for (day, e), v in zip(PAIRS, EXAMPLES[target], strict=True) if v is not NO]
    assert rows == expected


def test_a_static_target_is_labelled_at_the_rows_own_time(shop, labels):
    rows = [("2023-12-01", 1, 34), ("2024-01-31", 4, 27), ("2024-02-10", 3, 51)]
    assert labels(f"PREDICT customers.age{EACH}") == rows
    bound = bind(parse(f"PREDICT customers.age{EACH}"), toy_schema())
    scored = shop.execute(compile_scoring(bound, toy_schema(), None)).fetchall()
    assert scored == [(2, datetime(2023, 12, 15))]


def test_ids_are_scored_once_each_in_order_of_first_mention_and_flagged(shop):
    text = "PREDICT COUNT(transactions.*, 0, 7) > 0 FOR customers.customer_id IN (4, 1, 4, 3) WHERE customers.age < 40"
    sql = compile_scoring(bind(parse(text), toy_schema()), toy_schema(), SEED_TIMES[0], ids=True)
    assert [(i, p) for i, _, p in shop.execute(sql).fetchall()] == [(4, True), (1, True), (3, False)]


def test_scoring_takes_who_where_keeps_and_leaves_the_premise_out(shop):
    text = (
        f"PREDICT COUNT(transactions.*, 0, 7) > 0{EACH} WHERE COUNT(transactions.*, -30, 0) > 0 "
        "ASSUMING COUNT(transactions.*, 0, 7) > 99"
    )
    sql = compile_scoring(bind(parse(text), toy_schema()), toy_schema(), SEED_TIMES[1])
    assert [r[0] for r in shop.execute(sql).fetchall()] == [1]


def test_windows_are_open_at_the_start_and_closed_at_the_end(labels):
    """Row 2 is stamped exactly at the first seed time, row 4 exactly 30 days later."""
    assert labels(f"PREDICT COUNT(transactions.*, 0, 30){EACH}")[0][2] == 2  # rows 3 and 4, not 2
    assert labels(f"PREDICT COUNT(transactions.*, 0, 29){EACH}")[0][2] == 1
    kept = labels(f"PREDICT COUNT(transactions.*, 0, 30){EACH} WHERE COUNT(transactions.*, -1, 0) > 0")
    assert kept == [("2024-01-31", 1, 2), ("2024-03-01", 1, 2)]


TIMES = {
    "DATE": ["2024-01-31", "2024-02-01", "2024-03-01", "2024-03-02"],
    "TIMESTAMP_S": ["2024-01-31 00:00:00", "2024-01-31 00:00:01", "2024-03-01 00:00:00", "2024-03-01 00:00:01"],
    "TIMESTAMP_MS": ["2024-01-31 00:00:00.999", "2024-01-31 00:00:01", "2024-03-01 00:00:00.999", "2024-03-01 00:00:01"],
    "TIMESTAMP": ["2024-01-31 00:00:00.999999", "2024-01-31 00:00:01", "2024-03-01 00:00:00.5", "2024-03-01 00:00:01"],
    "TIMESTAMP_NS": ["2024-01-31 00:00:00.999999999", "2024-01-31 00:00:01", "2024-03-01 00:00:00.999999999",
                     "2024-03-01 00:00:01"],
    "TIMESTAMP WITH TIME ZONE": ["2024-01-31 02:00:00+02", "2024-01-31 02:00:01+02", "2024-02-29 19:00:00-05",
                                 "2024-02-29 19:00:01-05"],
    "VARCHAR": ["2024-01-31T02:00:00+02:00", "2024-01-31 00:00:01", "2024-03-01", "2024-03-01 00:00:01"],
}  # fmt: skip


@pytest.mark.parametrize("dtype", TIMES)
def test_rows_are_placed_by_whole_seconds_utc_whatever_the_type_of_their_time(dtype):
    """Of four rows in any order, the middle two are in (2024-01-31, + 30 days]; dates and infinities never mislead."""
    schema = Schema(
        {
            "c": make_table("c", "id BIGINT key", primary_key=("id",)),
            "t": make_table(
                "t",
                "c BIGINT key, t DATE timestamp, x BIGINT numerical",
                foreign_keys=(ForeignKey(columns=("c",), table="c"),),
                time_column="t",
            ),
        }
    )
    value = schema.to_dict()
    value["t"]["columns"][1]["dtype"] = dtype
    schema = Schema.from_dict(value)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'; CREATE TABLE c AS SELECT 1::BIGINT AS id")
        connection.execute(f"CREATE TABLE t (c BIGINT, t {dtype}, x BIGINT)")
        rows = [(1, t, i) for i, t in enumerate(TIMES[dtype])]
        rows += [(1, None, 9)]
        if dtype not in ("VARCHAR", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"):
            rows += [(1, "infinity", 9), (1, "-infinity", 9)]
        connection.executemany("INSERT INTO t VALUES (?, ?, ?)", rows[::-1])

        def run(text):
            sql = compile_labels(bind(parse(text), schema), schema, SEED_TIMES[:1])
            return [r[2] for r in connection.execute(sql).fetchall()]

        assert run("PREDICT SUM(t.x, 0, 30) FOR EACH c.id") == [1 + 2]
        assert run("PREDICT COUNT(t.*, 0, 30) FOR EACH c.id WHERE COUNT(t.*, -INF, 0) = 1") == [2]


def test_first_and_last_of_equal_times_go_by_row_number_without_a_key():
    schema = toy_schema()
    value = schema.to_dict()
    value["transactions"]["primary_key"] = []
    schema = Schema.from_dict(value)
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE customers AS SELECT 1::BIGINT AS customer_id, TIMESTAMP '2023-01-01' AS created_at"
        )
        connection.execute(
            "CREATE TABLE transactions AS SELECT * FROM (VALUES (1, TIMESTAMP '2024-02-02', 'b'), "
            "(1, TIMESTAMP '2024-02-02', 'a'), (1, TIMESTAMP '2024-02-02', NULL)) AS t(customer_id, ts, channel)"
        )
        for function, expected in (("FIRST", "b"), ("LAST", "a")):
            bound = bind(parse(f"PREDICT {function}(transactions.channel, 0, 30){EACH}"), schema)
            rows = connection.execute(compile_labels(bound, schema, SEED_TIMES[:1])).fetchall()
            assert [r[2] for r in rows] == [expected]


def composite():
    teams = make_table(
        "teams", "year BIGINT key, team VARCHAR key, city VARCHAR categorical", primary_key=("year", "team")
    )
    games = make_table(
        "games",
        "year BIGINT key, team VARCHAR key, day DATE timestamp, runs BIGINT numerical",
        foreign_keys=(ForeignKey(columns=("year", "team"), table="teams"),),
        time_column="day",
    )
    return Schema({"teams": teams, "games": games})


def test_composite_keys_name_the_entity_by_all_their_columns():
    schema = composite()
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE teams AS SELECT * FROM (VALUES (1, 'a', 'x'), (1, 'b', 'x'), (2, 'a', 'y')) t(year, team, city);"
            "CREATE TABLE games AS SELECT * FROM (VALUES (1, 'a', DATE '2024-02-01', 3), (2, 'a', DATE '2024-02-02', 4),"
            "(1, 'b', DATE '2024-01-02', 5), (1, 'a', DATE '2024-01-20', 6)) t(year, team, day, runs)"
        )
        text = (
            "PREDICT SUM(games.runs WHERE teams.city != 'z', 0, 30) FOR EACH teams.year WHERE EXISTS(games.*, -30, 0)"
        )
        bound = bind(parse(text), schema)
        rows = connection.execute(compile_labels(bound, schema, SEED_TIMES[:1])).fetchall()
        assert [(y, t, v) for y, t, _, v in rows] == [(1, "a", 3.0), (1, "b", 0.0)]


def test_a_parent_later_than_the_seed_time_reads_as_null_in_filters():
    """The region opens between the two seed times."""
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE regions AS SELECT 1 AS id, 'US' AS country, DATE '2024-02-15' AS opened;"
            "CREATE TABLE u AS SELECT 7 AS id, 1 AS region;"
            "CREATE TABLE o AS SELECT 7 AS u, DATE '2024-01-15' AS day"
        )
        schema = Schema(
            {
                "regions": make_table(
                    "regions", "id BIGINT key, country VARCHAR categorical, opened DATE timestamp",
                    primary_key=("id",), time_column="opened",
                ),
                "u": make_table(
                    "u", "id BIGINT key, region BIGINT key", primary_key=("id",),
                    foreign_keys=(ForeignKey(columns=("region",), table="regions"),),
                ),
                "o": make_table(
                    "o", "u BIGINT key, day DATE timestamp",
                    foreign_keys=(ForeignKey(columns=("u",), table="u"),), time_column="day",
                ),
            }
        )  # fmt: skip

        def days(text):
            rows = connection.execute(compile_labels(bind(parse(text), schema), schema, SEED_TIMES)).fetchall()
            return [str(t.date()) for _, t, _ in rows]

        assert days("PREDICT COUNT(o.*, 0, 7) FOR EACH u.id WHERE regions.country = 'US'") == ["2024-03-01"]
        assert days("PREDICT COUNT(o.*, 0, 7) FOR EACH u.id WHERE regions.country IS NULL") == ["2024-01-31"]
        inner = "WHERE COUNT(o.* WHERE regions.country = 'US', -90, 0) > 0"
        assert days(f"PREDICT COUNT(o.*, 0, 7) FOR EACH u.id {inner}") == ["2024-03-01"]


def test_hostile_names_and_values_stay_names_and_values(shop):
    value = toy_schema().to_dict()
    shop.execute('ALTER TABLE customers RENAME tier TO "x""; DROP TABLE y"')
    value["customers"]["columns"][3]["name"] = 'x"; DROP TABLE y'
    schema = Schema.from_dict(value)
    text = (
        f"""PREDICT COUNT(transactions.*, 0, 7) = 0{EACH} WHERE customers."x""; DROP TABLE y" != 'a''; DROP TABLE z'"""
    )
    sql = compile_labels(bind(parse(text), schema), schema, SEED_TIMES)
    assert [r[0] for r in shop.execute(sql).fetchall()] == [1, 2, 4, 1, 2, 4]


def test_the_future_of_a_label_window_changes_no_label(shop, labels):
    text = f"PREDICT COUNT(transactions.*, 0, 7) = 0{EACH} WHERE COUNT(transactions.*, -30, 0) > 0"
    before = labels(text)
    shop.execute("DELETE FROM transactions WHERE ts > '2024-03-08'")
    shop.execute("INSERT INTO transactions VALUES (99, 1, 10, '2024-03-08 00:00:01', 5, 'web')")
    assert labels(text) == before
