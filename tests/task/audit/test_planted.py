"""A leak of each kind is planted into a market that has none, and found: name, severity, table and column."""

import pytest

VALIDATION = "TIMESTAMP '2022-10-08'"  # seed time of the validation rows
WINDOW = f"s.customer_id = c.customer_id AND s.sold > {VALIDATION} AND s.sold <= {VALIDATION} + INTERVAL 60 DAYS"
BUYS = f"EXISTS (SELECT 1 FROM sales s WHERE {WINDOW})"
SPEND = f"coalesce((SELECT sum(s.amount) FROM sales s WHERE {WINDOW}), 0)"
SALES = "FROM sales s WHERE s.customer_id = c.customer_id"
CUSTOMER = {"customer_id": "customers"}


def column(name, sql, table="customers", alias="c"):
    """SQL that adds a computed column to a table."""
    return f"CREATE OR REPLACE TABLE {table} AS SELECT *, {sql} AS {name} FROM {table} {alias};"


def meaning(**columns):
    return {"customers": {"columns": columns}}


EARLY = "CREATE OR REPLACE TABLE customers AS SELECT * REPLACE (TIMESTAMP '2022-01-01' AS joined) FROM customers;"
FAR = 'UPDATE visits SET "at" = TIMESTAMP \'9999-12-31\' WHERE hash("at") % 100 = 0;'


@pytest.mark.parametrize("task", ["Buys", "Spend", "Brand", "Channels"])
def test_nothing_is_found_in_a_clean_market(find, task):
    assert find(task=task) == set()


NOISE = [
    ("flip", "hash(customer_id) % 2 = 0", "boolean"),
    ("rare", "hash(customer_id) % 50 = 0", "boolean"),
    ("score", "(hash(customer_id, 1) % 1000) / 7", "numerical"),
    ("town", "'town' || (hash(customer_id, 2) % 40)", "categorical"),
    ("unique_code", "'x' || hash(customer_id, 3)", "categorical"),
    ("planned", "TIMESTAMP '2022-01-01' + to_days((hash(customer_id, 4) % 500)::INT)", "timestamp"),
    ("wealth", f"(SELECT count(*) {SALES}) * 0.3 + (hash(customer_id, 5) % 100) / 4", "numerical"),
]


def test_honest_columns_raise_no_alarm(find):
    sql = "".join(column(name, value) for name, value, _ in NOISE[:-1])
    assert find(sql, tables=meaning(**{name: kind for name, _, kind in NOISE[:-1]})) == set()


def test_an_honest_strong_feature_raises_no_alarm(find):
    """How often someone buys at all is known to a column before the first sale: it predicts past and future alike."""
    sql = (
        EARLY + "CREATE OR REPLACE TABLE customers AS SELECT *, hash(customer_id, 1) % 10 AS eager FROM customers;"
        "CREATE OR REPLACE TABLE sales AS SELECT s.* FROM sales s JOIN customers c USING (customer_id) "
        "WHERE hash(s.sold, s.amount, s.note) % 10 < c.eager;"
    )
    assert find(sql, tables=meaning(eager="numerical")) == set()


@pytest.mark.parametrize(
    ("value", "kind", "task"),
    [
        (BUYS, "boolean", "Buys"),
        (f"CASE WHEN {BUYS} THEN 'stayed' ELSE 'left' END", "categorical", "Buys"),
        (f"CASE WHEN {BUYS} THEN 0.25 + (hash(customer_id) % 100) / 1000 ELSE 0.1 END", "numerical", "Buys"),
        (f"CASE WHEN {BUYS} THEN NULL ELSE TIMESTAMP '2022-10-01' END", "timestamp", "Buys"),
        (SPEND, "numerical", "Spend"),
        (f"100 - 3 * {SPEND}", "numerical", "Spend"),
        (f"coalesce((SELECT mode(s.brand ORDER BY s.brand) FROM sales s WHERE {WINDOW}), '-')", "categorical", "Brand"),
    ],
)
def test_a_copy_of_the_label(find, value, kind, task):
    assert find(column("answer", value), task=task, tables=meaning(answer=kind)) == {
        ("error", "label-copy", "customers", "answer")
    }


def test_a_copy_of_the_label_in_a_child_table_stamped_at_the_seed_time(find):
    sql = f"CREATE TABLE outcomes AS SELECT customer_id, {VALIDATION} AS at, {BUYS} AS bought FROM customers c;"
    table = {"time": "at", "links": CUSTOMER, "columns": {"bought": "boolean"}}
    assert ("error", "label-copy", "outcomes", "bought") in find(sql, tables={"outcomes": table})


def test_a_copy_that_becomes_known_after_the_seed_time_is_hidden_and_fine(find):
    sql = (
        f"CREATE TABLE outcomes AS SELECT customer_id, {VALIDATION} + INTERVAL 60 DAYS AS at, {BUYS} AS bought "
        "FROM customers c;"
    )
    table = {"time": "at", "links": CUSTOMER, "columns": {"bought": "boolean"}}
    assert find(sql, tables={"outcomes": table}) == set()


def test_a_copy_of_the_label_in_a_parent(find):
    sql = f"CREATE TABLE households AS SELECT customer_id AS household, {BUYS} AS bought FROM customers c;" + column(
        "household", "customer_id"
    )
    tables = {
        "households": {"key": "household", "columns": {"bought": "boolean"}},
        "customers": {"links": {"referred_by": "customers", "region": "regions", "household": "households"}},
    }
    assert find(sql, tables=tables) == {("error", "label-copy", "households", "bought")}


def test_a_task_table_among_the_tables_of_the_schema(find):
    sql = f"CREATE TABLE buys AS SELECT customer_id, {VALIDATION} AS seed_time, {BUYS} AS label FROM customers c;"
    table = {"links": CUSTOMER, "columns": {"label": "boolean", "seed_time": "timestamp"}}
    found = find(sql, tables={"buys": table}, task="Buys", splits={"train": "buys", "validation": "buys"})
    assert ("error", "label-in-schema", "buys", "label") in found


@pytest.mark.parametrize(("wrong", "severity"), [(1, "error"), (40, "warning")])
def test_a_column_that_determines_the_label_almost_alone(find, wrong, severity):
    """``wrong``: in a thousand. Several values stand for each class, so it is no recoding."""
    says = f"({BUYS}) = (hash(customer_id, 1) % 1000 >= {wrong})"
    value = f"CASE WHEN {says} THEN 10 ELSE 20 END + hash(customer_id, 2) % 8"
    assert find(column("tell", value), tables=meaning(tell="categorical")) == {
        (severity, "lone-predictor", "customers", "tell")
    }


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (f"(SELECT count(*) {SALES})", "numerical"),
        (f"(SELECT sum(s.amount) {SALES})", "numerical"),
        (f"(SELECT max(s.sold) {SALES})", "timestamp"),
        (f"CAST((SELECT max(s.sold) {SALES}) AS DATE)", "timestamp"),
    ],
)
def test_a_column_that_sums_up_later_rows(find, value, kind):
    assert find(column("total", value), tables=meaning(total=kind)) == {
        ("error", "later-aggregate", "customers", "total")
    }


def test_a_table_of_totals_without_a_time(find):
    sql = f"CREATE TABLE totals AS SELECT customer_id, (SELECT count(*) {SALES}) AS orders FROM customers c;" + (
        "CREATE OR REPLACE TABLE sales AS SELECT *, customer_id AS totals_id FROM sales;"
    )
    tables = {
        "totals": {"key": "customer_id", "columns": {"orders": "numerical"}},
        "sales": {
            "links": [
                {"columns": ["customer_id"], "table": "customers"},
                {"columns": ["totals_id"], "table": "totals"},
            ]
        },
    }
    assert ("error", "later-aggregate", "totals", "orders") in find(sql, tables=tables)


def test_totals_up_to_the_first_seed_time_are_fine(find):
    value = f"(SELECT count(*) {SALES} AND s.sold <= TIMESTAMP '2022-04-11')"
    assert find(column("total", value), tables=meaning(total="numerical")) == set()


def test_a_column_that_follows_later_rows(find):
    value = f"(SELECT count(*) {SALES}) * 10 + hash(customer_id) % 5"
    assert find(column("points", value), tables=meaning(points="numerical")) == {
        ("warning", "later-aggregate", "customers", "points")
    }


def test_a_status_that_is_overwritten(find):
    value = f"CASE WHEN EXISTS (SELECT 1 {SALES} AND s.sold > TIMESTAMP '2022-12-07') THEN 'active' ELSE 'idle' END"
    assert find(EARLY + column("status", value), tables=meaning(status="categorical")) == {
        ("warning", "changed-after-seed", "customers", "status")
    }


def test_untimed_rows_that_only_later_activity_brings(find):
    """Refunds have no time: a customer without a sale yet has some only if a sale comes later."""
    sql = EARLY + "DELETE FROM sales WHERE hash(sold, note) % 4 > 0;"  # so that some never buy
    sql += "CREATE TABLE refunds AS SELECT customer_id, 1.0 AS fee FROM sales WHERE hash(sold, amount) % 3 = 0 "
    sql += "AND sold IS NOT NULL;"
    table = {"links": CUSTOMER, "columns": {"fee": "numerical"}}
    assert ("warning", "changed-after-seed", "refunds", None) in find(sql, tables={"refunds": table})


def test_untimed_rows_that_have_nothing_to_do_with_later_ones_are_fine(find):
    sql = (
        EARLY
        + "CREATE TABLE hobbies AS SELECT customer_id, 1.0 fee FROM customers, range(3) WHERE hash(customer_id) % 2 = 0"
    )
    table = {"links": CUSTOMER, "columns": {"fee": "numerical"}}
    assert find(sql, tables={"hobbies": table}) == set()


def test_an_instant_that_is_moved_later(find):
    value = (
        f"CASE WHEN {BUYS} OR hash(customer_id) % 3 = 0 THEN TIMESTAMP '2023-03-01' ELSE TIMESTAMP '2022-02-01' END "
        "+ to_days((hash(customer_id, 1) % 60)::INT)"
    )
    assert find(column("last_login", value), tables=meaning(last_login="timestamp")) == {
        ("warning", "instant-after-seed", "customers", "last_login")
    }


ITEMS = (
    "CREATE OR REPLACE TABLE sales AS SELECT *, row_number() OVER () AS sale_id FROM sales;"
    "CREATE TABLE items AS SELECT customer_id, sale_id, hash(sale_id) % 9 AS amount_of FROM sales;"
)


def test_rows_of_later_rows_that_link_to_the_entity_directly(find):
    tables = {
        "sales": {"key": "sale_id"},
        "items": {"links": {**CUSTOMER, "sale_id": "sales"}, "columns": {"amount_of": "numerical"}},
    }
    assert ("error", "late-rows", "items", "customer_id") in find(ITEMS, tables=tables)


def test_rows_of_later_rows_that_are_reached_through_them_are_fine(find):
    tables = {
        "sales": {"key": "sale_id"},
        "items": {"links": {"sale_id": "sales"}, "columns": {"amount_of": "numerical", "customer_id": "ignore"}},
    }
    assert find(ITEMS, tables=tables) == set()


def test_rows_dated_in_the_future(audit):
    report = audit(FAR)
    (finding,) = report.warnings
    assert (finding.name, finding.table, finding.column) == ("future-dates", "visits", "at")
    assert "in the future, up to 9999-12-31" in finding.message
    assert finding.count > 0


def test_rows_dated_far_beyond_the_others(find):
    sql = "INSERT INTO sales (customer_id, sold) VALUES (1, TIMESTAMP '2025-12-31');"
    assert find(sql) == {("warning", "future-dates", "sales", "sold")}


def split_sql(seed, where="true"):
    return f"SELECT customer_id, {seed} AS seed_time, hash(customer_id) % 2 = 0 AS label FROM customers WHERE {where}"


def splits(train, validation):
    return {"train": train, "validation": validation}


def test_seed_times_before_any_data(find):
    given = splits(split_sql("DATE '1999-01-01'"), split_sql(VALIDATION, "joined <= DATE '2022-10-08'"))
    assert ("error", "seeds-before-data", None, None) in find(splits=given)


def test_labels_of_seed_times_after_all_data(find):
    given = splits(split_sql("DATE '2022-09-01'", "joined <= DATE '2022-09-01'"), split_sql("DATE '2024-09-01'"))
    assert ("warning", "seeds-after-data", None, None) in find(splits=given)


def test_the_same_question_in_two_splits(find):
    same = split_sql(VALIDATION, "joined <= DATE '2022-10-08'")
    assert find(splits=splits(same, same)) == {("error", "shared-rows", None, None)}


def test_one_question_with_two_answers(find):
    train = split_sql("DATE '2022-09-01'", "joined <= DATE '2022-09-01'")
    twice = f"{train} UNION ALL SELECT customer_id, seed_time, NOT label FROM ({train}) WHERE customer_id < 9"
    found = find(splits=splits(twice, split_sql(VALIDATION, "joined <= DATE '2022-10-08'")))
    assert found == {("warning", "conflicting-labels", None, None), ("warning", "duplicate-rows", None, None)}


def test_entities_not_born_yet(find):
    given = splits(split_sql("DATE '2022-09-01'"), split_sql(VALIDATION))
    assert find(splits=given) == {("warning", "entity-after-seed", "customers", None)}


def test_a_task_without_time(audit):
    tables = {
        s: "SELECT customer_id, hash(customer_id) % 2 = 0 AS label FROM customers "
        f"WHERE customer_id % 3 = {i} AND joined IS NOT NULL"
        for i, s in enumerate(("train", "validation"))
    }
    report = audit(splits=tables, time=None)
    assert [f.name for f in report.warnings] == ["no-seed-time"]
