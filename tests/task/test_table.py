"""Task tables: what is used, what is left out, and what is said about it."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from foreknow.errors import TaskError
from foreknow.task.table import NO_TIME, check_splits, read_task_table
from foreknow.task.task import EntityTask
from foreknow.testing.toy import SEED_TIMES
from foreknow.types import TaskType

BUYS = EntityTask(
    name="Buys",
    type=TaskType.BINARY,
    entity_table="customers",
    entity_columns=("customer",),
    entity_key=("customer_id",),
    label="buys",
    time="moment",
    metric="roc_auc",
)


def rows(*values, columns="customer, moment, buys"):
    listed = ", ".join("(" + ", ".join(map(str, v)) + ")" for v in values)
    return f"SELECT * FROM (VALUES {listed}) AS t({columns})"


JANUARY, MARCH = "TIMESTAMP '2024-01-31'", "TIMESTAMP '2024-03-01'"


@pytest.fixture
def read(toy_snapshot):
    def run(query, split="train", *, task=BUYS, need_label=True, snapshot=toy_snapshot, **options):
        return read_task_table(snapshot, task, split, query, need_label=need_label, **options)

    return run


def said(table):
    return [str(f) for f in table.findings]


# --- reading ------------------------------------------------------------------------------------------------


def test_rows_keep_their_order_and_know_their_entity(read):
    table = read(rows((4, JANUARY, "true"), (1, MARCH, "false"), (2, JANUARY, "true")))
    assert table.entity_row.tolist() == [3, 0, 1]  # rows of the file; the graph renumbers by time
    assert table.seed_time.tolist() == [SEED_TIMES[0], SEED_TIMES[1], SEED_TIMES[0]]
    assert table.labels.to_pylist() == [True, False, True]
    assert (len(table), table.split, table.label_dtype, table.findings) == (3, "train", "BOOLEAN", ())
    assert table.keys.column_names == ["customer", "moment"]
    assert (table.entity_row.dtype, table.seed_time.dtype) == (np.int32, np.int64)


def test_a_split_may_name_a_table_of_the_source(stage_sql, toy_folder):
    snapshot = stage_sql(
        f"ATTACH '{toy_folder / 'toy.duckdb'}' AS toy (READ_ONLY); CREATE TABLE customers AS FROM toy.customers; "
        f"CREATE TABLE buys_train AS {rows((2, JANUARY, 1), (1, MARCH, 0))}"
    )
    table = read_task_table(snapshot, BUYS, "train", "buys_train", need_label=True)
    assert table.entity_row.tolist() == [1, 0]
    with pytest.raises(
        TaskError, match=r"task 'Buys', train: .* has no table 'buys_tran'\nHint: did you mean 'buys_train'"
    ):
        read_task_table(snapshot, BUYS, "train", "buys_tran", need_label=True)


def test_sql_sees_the_tables_of_the_snapshot(read):
    table = read(
        f"""-- who buys in the 30 days after January
        SELECT c.customer_id AS customer, {JANUARY} AS moment,
               count(t.transaction_id) FILTER (ts > {JANUARY} AND ts <= {JANUARY} + INTERVAL 30 DAY) > 0 AS buys
        FROM customers c LEFT JOIN transactions t USING (customer_id) GROUP BY 1 ORDER BY 1;
        """
    )
    assert table.labels.to_pylist() == [True, False, False, False]


def test_sql_may_use_tables_with_names_used_inside(stage_sql, toy_folder):
    snapshot = stage_sql(
        f"ATTACH '{toy_folder / 'toy.duckdb'}' AS toy (READ_ONLY); CREATE TABLE customers AS FROM toy.customers; "
        f"CREATE TABLE task_rows AS {rows((1, JANUARY, 1), (2, JANUARY, 0))}; CREATE TABLE given_rows AS SELECT 1 AS x"
    )
    table = read_task_table(snapshot, BUYS, "train", "SELECT * FROM task_rows WHERE customer = 2", need_label=True)
    assert table.entity_row.tolist() == [1]


def test_rows_can_be_given_as_arrow(read):
    given = pa.table({"customer": [2.0, 1.0], "moment": ["2024-01-31", "2024-01-31T02:00:00+02:00"], "buys": [1, 0]})
    table = read(given)
    assert table.entity_row.tolist() == [1, 0]
    assert table.seed_time.tolist() == [SEED_TIMES[0]] * 2
    assert table.keys.column("moment").to_pylist() == given.column("moment").to_pylist()


@pytest.mark.parametrize("moment", ["DATE '2024-01-31'", "TIMESTAMPTZ '2024-01-31 02:00:00+02'", "'2024-01-31'"])
def test_seed_times_of_any_type_are_seconds(read, moment):
    assert read(rows((1, moment, 1))).seed_time.tolist() == [SEED_TIMES[0]]


def test_without_a_time_column_seeds_see_everything(read):
    table = read(rows((1, 1), columns="customer, buys"), task=dataclasses.replace(BUYS, time=None))
    assert table.seed_time.tolist() == [NO_TIME]
    assert table.keys.column_names == ["customer"]


def test_composite_entities(stage_sql):
    snapshot = stage_sql(
        "CREATE TABLE batting AS SELECT * FROM (VALUES ('a', 1999), ('a', 2000), ('b', 2000)) AS t(p, y)"
    )
    task = dataclasses.replace(
        BUYS, entity_table="batting", entity_columns=("year", "player"), entity_key=("y", "p"), time=None
    )
    query = rows((2000, "'b'", 1), (2000, "'a'", 0), (1999, "'b'", 0), ("NULL", "'b'", 0), columns="year, player, buys")
    table = read_task_table(snapshot, task, "test", query, need_label=True)
    assert table.entity_row.tolist() == [2, 1]
    assert said(table) == [
        "task 'Buys', test: 1 of 4 rows have no year, player; they are left out",
        "task 'Buys', test: 1 of 4 rows name entities that are not in 'batting' (e.g. (1999, b)); they are left out\n"
        "  Hint: load the missing rows of 'batting' if they exist",
    ]


# --- labels -------------------------------------------------------------------------------------------------


def test_the_test_split_may_lack_the_label(read):
    table = read(rows((1, JANUARY), columns="customer, moment"), "test", need_label=False)
    assert table.labels is table.label_dtype is None


def test_rows_without_label_are_left_out_unless_they_are_wanted(read):
    query = rows((1, JANUARY, "true"), (2, JANUARY, "NULL"))
    table = read(query)
    assert table.entity_row.tolist() == [0]
    assert said(table) == ["task 'Buys', train: 1 of 2 rows have no 'buys'; they are left out"]
    kept = read(query, keep_unlabelled=True)
    assert (kept.labels.to_pylist(), kept.findings) == ([True, None], ())


# --- rows that can't be used --------------------------------------------------------------------------------


def test_every_row_left_out_is_counted_once_under_its_first_reason(read):
    table = read(
        rows(
            (1, JANUARY, "true"),
            ("NULL", "NULL", "NULL"),
            (77, "NULL", "NULL"),
            (78, JANUARY, "true"),
            (2, "NULL", "true"),
            (2, "TIMESTAMP 'infinity'", "NULL"),
            (2, JANUARY, "NULL"),
        )
    )
    assert table.entity_row.tolist() == [0]
    assert said(table) == [
        "task 'Buys', train: 1 of 7 rows have no customer; they are left out",
        "task 'Buys', train: 2 of 7 rows name entities that are not in 'customers' (e.g. 77, 78); they are left out\n"
        "  Hint: load the missing rows of 'customers' if they exist",
        "task 'Buys', train: 2 of 7 rows have no usable time in 'moment'; they are left out",
        "task 'Buys', train: 1 of 7 rows have no 'buys'; they are left out",
    ]
    assert [(f.name, f.severity, f.count) for f in table.findings] == [
        ("missing-entity", "warning", 1),
        ("unknown-entity", "warning", 2),
        ("missing-seed-time", "warning", 2),
        ("missing-label", "warning", 1),
    ]


def test_nan_names_no_entity(read):
    table = read(rows(("'nan'::DOUBLE", JANUARY, 1), ("1", JANUARY, 1)))
    assert said(table) == ["task 'Buys', train: 1 of 2 rows have no customer; they are left out"]
    assert table.keys.column("customer").to_pylist() == [1.0]


def test_no_usable_row_is_an_error_with_the_reasons(read):
    with pytest.raises(TaskError) as caught:
        read(rows(("NULL", JANUARY, 1), (9, JANUARY, 1)))
    first, *reasons = str(caught.value).splitlines()
    assert first == "task 'Buys', train: none of 2 rows can be used:"
    assert reasons[0] == "- task 'Buys', train: 1 of 2 rows have no customer; they are left out"
    assert reasons[1].startswith("- task 'Buys', train: 1 of 2 rows name entities that are not in 'customers' (e.g. 9)")
    assert [f.name for f in caught.value.findings] == ["missing-entity", "unknown-entity"]
    with pytest.raises(TaskError, match="task 'Buys', train: none of 0 rows can be used: the table is empty"):
        read(rows((1, JANUARY, 1)) + " LIMIT 0")


# --- refusals -----------------------------------------------------------------------------------------------


def test_missing_columns_are_named_with_near_matches(read):
    with pytest.raises(
        TaskError, match="task 'Buys', train: no column 'buys'\nHint: did you mean 'buy'\\? Columns: buy, cus"
    ):
        read(rows((1, JANUARY, 1), columns="customer, moment, buy"))
    with pytest.raises(
        TaskError, match="task 'Buys', test: no column 'customer', 'moment'\nHint: did you mean 'Customer'"
    ):
        read(rows((1, 1), columns='"Customer", t'), "test", need_label=False)


def test_sql_that_fails_is_answered_with_duckdbs_words(read):
    with pytest.raises(
        TaskError, match=r"(?s)task 'Buys', train: the SQL fails: Binder Error: .*\"costumer_id\".*customer_id"
    ):
        read("SELECT costumer_id FROM customers")


def test_a_time_that_is_no_time_is_refused(read):
    message = "the time column 'moment' is INTEGER, not a date or timestamp\nHint: cast it in SQL, e.g. to_timestamp"
    with pytest.raises(TaskError, match=message):
        read(rows((1, 20240131, 1)))


def test_texts_do_not_name_numbers(read):
    with pytest.raises(TaskError) as caught:
        read(rows(("'1'", JANUARY, 1)))
    assert str(caught.value) == (
        "task 'Buys', train: column 'customer' is VARCHAR but names customers.customer_id, which is BIGINT\n"
        'Hint: cast it in SQL: CAST("customer" AS BIGINT)'
    )


# --- splits together ----------------------------------------------------------------------------------------


def together(read, **splits):
    return check_splits(BUYS, {name: read(rows(*values), name) for name, values in splits.items()})


def test_splits_in_order_are_fine(read):
    assert together(read, train=[(1, JANUARY, 1)], validation=[(1, MARCH, 1)], test=[(2, MARCH, 1)]) == []


def test_an_entity_twice_at_one_time_is_pointed_out(read):
    (found,) = together(read, train=[(1, JANUARY, 1), (1, JANUARY, 0), (1, JANUARY, 1), (1, MARCH, 1)])
    assert (found.name, found.severity, found.count) == ("duplicate-rows", "warning", 2)
    assert str(found) == (
        "task 'Buys', train: 2 of 4 rows repeat an entity at one time\n"
        "  Hint: they count as often as they occur; add DISTINCT or GROUP BY to the task's SQL if not meant"
    )


def test_rows_in_two_splits_are_an_error(read):
    (found,) = together(
        read, train=[(1, JANUARY, 1), (2, JANUARY, 1)], test=[(2, JANUARY, 0), (2, JANUARY, 0), (1, MARCH, 1)]
    )[1:]
    assert (found.name, found.severity, found.count) == ("shared-rows", "error", 1)
    assert str(found) == (
        "task 'Buys': 1 (entity, seed time) pairs stand in both train and test\n"
        "  Hint: a model must not be judged on rows it was trained on; make the splits disjoint"
    )


def test_training_after_the_first_validation_time_is_pointed_out(read):
    (found,) = together(read, train=[(1, JANUARY, 1), (2, MARCH, 1)], validation=[(1, MARCH, 1), (3, JANUARY, 1)])
    assert (found.name, found.severity, found.count) == ("split-order", "warning", 1)
    assert str(found) == (
        "task 'Buys': 1 of 2 rows of train have seed times after the first one of validation; the score tells little "
        "about the future\n  Hint: let train end before validation begins"
    )


def test_splits_may_meet_at_one_instant(read):
    assert together(read, train=[(1, MARCH, 1)], validation=[(2, MARCH, 1)]) == []


def test_tasks_without_time_have_no_order_but_may_share_rows(read):
    task = dataclasses.replace(BUYS, time=None)
    a, b = (read(rows((i, 1), columns="customer, buys"), task=task) for i in (1, 2))
    assert check_splits(task, {"train": a, "test": b}) == []
    assert [f.name for f in check_splits(task, {"train": a, "test": a})] == ["shared-rows"]


def test_some_rows_can_be_taken(read):
    table = read(rows((1, JANUARY, 1), (2, MARCH, 0), (77, MARCH, 0)))
    taken = table.take(np.array([1]))
    assert (taken.entity_row.tolist(), taken.seed_time.tolist(), taken.labels.to_pylist()) == (
        [1],
        [SEED_TIMES[1]],
        [0],
    )
    assert taken.keys.column("customer").to_pylist() == [2]
    assert (taken.split, taken.findings) == (table.split, table.findings)
