"""A query on data: preview per split, counted losses, the errors only data can show."""

# ruff: noqa: E501  # a query and what is said of it stand on one line

import zlib
from dataclasses import replace

import duckdb
import pytest

import foreknow as fk
from foreknow.errors import TaskError
from foreknow.task.query.resolve import crc32_sql

EACH = " FOR EACH customers.customer_id"
SPLITS = {"start": "2023-12-01", "val_time": "2024-01-31", "test_time": "2024-03-01"}
LATE = {"start": "2024-01-31", "val_time": "2024-03-08", "test_time": "2024-03-16", "every": "30 days"}


@pytest.fixture
def db(toy_folder, tmp_path):
    return fk.open(toy_folder, home=tmp_path)


def test_the_preview_counts_seed_times_rows_and_positives(db):
    found = db.ask(f"PREDICT COUNT(transactions.*, 0, 30, days) = 0{EACH}", **SPLITS).preview()
    shown = [(s["split"], s["first"], s["last"], s["seed times"], s["rows"], s["positive"]) for s in found.splits]
    assert shown == [
        ("train", "2023-12-02", "2024-01-01", 2, 3, 1),
        ("validation", "2024-01-31", "2024-01-31", 1, 3, 2),
        ("test", "2024-03-01", "2024-03-01", 1, 4, 1),
    ]
    assert [s["dropped"] for s in found.splits] == [{}, {}, {}]
    assert found.splits[0]["share"] == pytest.approx(1 / 3)
    assert "Rows of transactions belong to customers by transactions.customer_id -> customers." in found.explanation


def test_the_sql_of_a_split_gives_its_table(db):
    bound = db.ask(f"PREDICT SUM(transactions.price, 0, 30){EACH}", **SPLITS)
    found = bound.preview()
    with bound.snapshot().connect() as connection:
        for split, sql in found.sql.items():
            assert connection.sql(sql).to_arrow_table().to_pylist() == found.tables[split].to_pylist()


def test_dropped_rows_are_counted_by_reason(db):
    text = f"PREDICT AVG(transactions.price, 0, 30){EACH} ASSUMING COUNT(transactions.*, 0, 30) > 0"
    train, validation, test = db.ask(text, **SPLITS).preview().splits
    assert (train["existing"], train["rows"], train["dropped"]) == (3, 2, {"ASSUMING is not true": 1})
    assert validation["dropped"] == {"ASSUMING is not true": 2}
    assert test["dropped"] == {"ASSUMING is not true": 1, "the label has no value": 1}


def test_a_link_task_says_how_much_of_its_labels_was_there_before(db):
    text = f"PREDICT LIST_DISTINCT(transactions.article_id, 0, 7) RANK TOP 2{EACH}"
    found = db.ask(text, **LATE).preview()
    assert "100% of the label's items in training were there before." in found.explanation
    assert [s["items"] for s in found.splits] == [{"11": 1, "10": 1}, {"11": 1}, {"10": 1}]


def test_active_within_keeps_those_with_a_recent_row(db):
    text = f"PREDICT COUNT(transactions.*, 0, 7) = 0{EACH}"
    found = db.ask(text, **LATE, active_within="45 days").preview()
    assert [s["eligible"] for s in found.splits] == [4, 1, 2]


@pytest.mark.parametrize(
    ("marked", "settings", "code", "message", "hint"),
    [
        ("PREDICT «COUNT(transactions.*, 0, 30, days) >= 0» ..", SPLITS, "T01",
         "all 3 training labels are true: nothing to learn", "check the comparison, or widen start"),
        ("PREDICT COUNT(transactions.*, 0, 7, days) .. EVERY «7 days»", {**SPLITS, "every": "30 days"}, "T02",
         "EVERY is 7 days but the argument every is 30 days", "give only one"),
        ("PREDICT COUNT(transactions.*, 0, 7, days) .. AS OF «2024-03-31»", {"as_of": "2024-03-30"}, "T02",
         "AS OF is 2024-03-31 but the argument as_of is 2024-03-30", "give only one"),
        ("PREDICT «COUNT(transactions.*, 0, 60, days)» ..", {**SPLITS, "data_end": "2024-06-01"}, "T03",
         "val labels reach 2024-03-31, past test_time 2024-03-01",
         "test_time >= val_time + 60 days, or shorten the window"),
        ("PREDICT «COUNT(transactions.*, 0, 60, days)» ..",
         {"start": "2023-08-01", "val_time": "2023-12-30", "test_time": "2024-03-01"}, "T04",
         "test label needs rows up to 2024-04-30, data ends 2024-04-02", "latest possible test_time is 2024-02-02"),
        ("PREDICT COUNT(transactions.*, 0, 7, days) .. «WHERE» customers.age > 90", LATE, "T05",
         "no seed rows left: 8 pairs, 7 with existing entity, 0 after WHERE", "loosen WHERE; the largest age is 51"),
        ("PREDICT COUNT(transactions.*, 0, 7, days) FOR customers.customer_id IN «(1, 99)»", LATE, "T06",
         "1 of 2 ids is not in customers: 99", "remove it, or load the row"),
    ],
)  # fmt: skip
def test_errors_that_only_data_can_show(db, marked, settings, code, message, hint):
    text = marked.replace("..", EACH.strip())
    start, end = text.index("«"), text.index("»") - 1
    text = text.replace("«", "").replace("»", "")
    with pytest.raises(TaskError) as caught:
        db.ask(text, **settings).preview()
    error = caught.value
    assert (error.code, error.line, error.column, error.hint) == (code, 1, start + 1, hint)
    assert str(error).splitlines() == [
        f"TaskError {code} at line 1, column {start + 1}: {message}.",
        f"  {text}",
        "  " + " " * start + "^" * (end - start),
        f"Hint: {hint}.",
    ]
    assert isinstance(error, ValueError)


@pytest.mark.parametrize("text", ["", "1", "customer-42", "Zoë", "日本", "x" * 300])
def test_keys_without_time_are_split_by_their_checksum(text):
    with duckdb.connect() as connection:
        (found,) = connection.execute(f"SELECT {crc32_sql('t')} FROM (SELECT ? AS t)", [text]).fetchone()
    assert found == zlib.crc32(text.encode())


def test_a_static_target_without_time_splits_by_key(write_duckdb, tmp_path):
    path = write_duckdb(
        "CREATE TABLE u (id BIGINT PRIMARY KEY, x DOUBLE); INSERT INTO u SELECT i, CASE WHEN i % 7 > 0 THEN i END FROM range(200) t(i)"
    )
    db = fk.open(path, home=tmp_path)
    found = db.ask("PREDICT u.x FOR EACH u.id").preview()
    for split, tenths in (("train", range(8)), ("validation", [8]), ("test", [9])):
        ids = [r["id"] for r in found.tables[split].to_pylist()]
        assert ids == [i for i in range(200) if i % 7 and zlib.crc32(str(i).encode()) % 10 in tenths]


def test_a_static_target_with_time_splits_by_it(write_duckdb, tmp_path):
    path = write_duckdb(
        "CREATE TABLE u (id BIGINT PRIMARY KEY, born DATE, x DOUBLE); "
        "INSERT INTO u SELECT i, DATE '2024-01-01' + i::INT, i FROM range(100) t(i)"
    )
    db = fk.open(path, home=tmp_path)
    schema = db.schema
    db.schema = schema.replace(u=replace(schema["u"], time_column="born"))
    found = db.ask("PREDICT u.x FOR EACH u.id", val_time="2024-02-10", test_time="2024-03-01").preview()
    assert [(s["first"], s["rows"]) for s in found.splits] == [(None, 40), (None, 20), (None, 40)]
    assert [t.num_rows for t in db.ask("PREDICT u.x FOR EACH u.id").preview().tables.values()] == [79, 10, 11]
