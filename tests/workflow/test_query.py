"""Predictive queries through training and prediction, on the market."""

import duckdb
import numpy as np
import pytest

import foreknow as fk
from foreknow.errors import TaskError
from foreknow.project import task_from_file
from foreknow.task.task import EntityTask
from foreknow.testing.market import START
from foreknow.testing.market_project import SEED_TIMES
from foreknow.types import DAY_S, Stype
from foreknow.workflow import prepare

BUYS = "PREDICT COUNT(sales.* VIA sales.customer_id, 0, 60, days) > 0 FOR EACH customers.customer_id"
SPLITS = {
    "start": SEED_TIMES["train"][0],
    "val_time": SEED_TIMES["validation"][0],
    "test_time": SEED_TIMES["test"][0],
    "data_end": START + 500 * DAY_S,
}
PLAIN = {k: str(np.datetime64(v, "s")) for k, v in SPLITS.items()}


def ask(folder, query=BUYS, name="Asked", **more):
    return fk.open(folder).ask(query, name=name, **{**PLAIN, **more})


def rows(prepared):
    """Rows of each split, whatever their order."""
    return {
        k: sorted(zip(t.entity_row.tolist(), t.seed_time.tolist(), t.labels.to_pylist(), strict=True))
        for k, t in prepared.tables.items()
    }


def test_a_query_and_the_labels_of_a_task_say_when_they_are_known(market):
    assert ask(market).task.horizon_s == 60 * DAY_S
    months = ask(market, BUYS.replace("60, days", "1, months")).task
    assert months.horizon_s == 31 * DAY_S, "the longest month there is"
    assert EntityTask.from_dict(months.to_dict()) == months
    tables = fk.open(market).project.file.tasks["Buys"]
    said = tables.model_copy(update={"horizon": "60 days"})
    assert [task_from_file("Buys", t).horizon_s for t in (tables, said)] == [None, 60 * DAY_S]


def read(folder, table):
    with duckdb.connect(str(folder / "market.duckdb"), read_only=True) as connection:
        return connection.sql(f"SELECT * FROM {table}").to_arrow_table().to_pylist()


def test_a_query_and_its_sql_prepare_the_same_rows(market):
    assert rows(prepare(ask(market))) == rows(prepare(fk.open(market).task("Buys")))


def test_sql_labels_over_the_grid_prepare_the_same_rows(market):
    labels = (
        "SELECT c.customer_id, t.seed_time, (SELECT count(*) > 0 FROM sales s WHERE s.customer_id = c.customer_id AND "
        "s.sold > t.seed_time AND s.sold <= t.seed_time + INTERVAL 60 DAYS) AS label "
        "FROM customers c, seed_times t WHERE c.joined <= t.seed_time ORDER BY t.seed_time, c.customer_id"
    )
    task = {
        "labels": labels,
        "horizon": "60 days",
        "type": "binary_classification",
        "entity": {"customer_id": "customers.customer_id"},
        **PLAIN,
    }
    assert rows(prepare(fk.open(market).task("Labels", task))) == rows(prepare(ask(market)))
    with pytest.raises(TaskError, match="doesn't read seed_times"):
        fk.open(market).task("Labels", {**task, "labels": "SELECT 1"})


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("PREDICT COUNT(sales.* VIA sales.customer_id, 0, 30) FORECAST 2 TIMEFRAMES", r"regression with 2 numbers"),
        ("PREDICT LIST_DISTINCT(visits.customer_id, 0, 60) RANK TOP 3", "link_prediction"),
    ],
)
def test_what_can_be_seen_but_not_learnt_is_said_before_any_work(market, query, what):
    bound = ask(market, f"{query} FOR EACH customers.customer_id")
    assert all(t.num_rows for t in bound.preview().tables.values())
    with pytest.raises(TaskError, match=f"task 'Asked' is {what}.*not yet trainable"):
        prepare(bound)


def test_a_trained_query_scores_whom_it_says_at_the_time_it_says(market, tracking, few_plots):
    where = " WHERE COUNT(sales.* VIA sales.customer_id, -100, 0) > 0"
    run = fk.train(ask(market, BUYS + where), tracking_uri=tracking, scoreboard="off")
    db = fk.open(market)
    run.predict(into="SCORED", at="2023-03-01", tracking_uri=tracking)
    at = read(market, "SCORED")
    with duckdb.connect(str(market / "market.duckdb"), read_only=True) as connection:
        expected = connection.execute(
            "SELECT customer_id FROM customers WHERE joined <= TIMESTAMP '2023-03-01' AND customer_id IN ("
            "SELECT customer_id FROM sales WHERE sold > TIMESTAMP '2023-03-01' - INTERVAL 100 DAY "
            "AND sold <= TIMESTAMP '2023-03-01') ORDER BY ALL"
        ).fetchall()
    assert [(r["customer_id"],) for r in at] == expected
    assert {str(r["seed_time"]) for r in at} == {"2023-03-01 00:00:00"}
    run.predict(into="TESTED", tracking_uri=tracking)
    assert {str(r["seed_time"])[:10] for r in read(market, "TESTED")} == {
        str(np.datetime64(SPLITS["test_time"], "s"))[:10]
    }
    assert read(market, "SCORED") == at
    assert fk.workflow.evaluate(db, run_id=run.run_id, tracking_uri=tracking).keys() >= {"roc_auc"}


def test_listed_ids_are_scored_once_each_in_their_order_with_a_flag(market, tracking, few_plots):
    ids = [r["customer_id"] for r in read(market, "customers") if r["joined"] is not None][:3]
    listed = ", ".join(f"'{i}'" if isinstance(i, str) else str(i) for i in (ids[2], ids[0], ids[2]))
    query = BUYS.replace("FOR EACH customers.customer_id", f"FOR customers.customer_id IN ({listed})")
    run = fk.train(
        ask(
            market,
            f"{query} WHERE customers.age > 1000 OR EXISTS(sales.* VIA sales.customer_id, -INF, 0) AS OF '2023-04-01'",
        ),
        tracking_uri=tracking,
        scoreboard="off",
    )
    run.predict(into="LISTED", tracking_uri=tracking)
    found = read(market, "LISTED")
    assert [r["customer_id"] for r in found] == [ids[2], ids[0]]
    assert all(isinstance(r["in_population"], bool) for r in found)
    assert {str(r["seed_time"])[:10] for r in found} == {"2023-04-01"}


def test_the_target_column_is_no_feature_and_its_gaps_are_predicted(market, tracking, few_plots):
    with duckdb.connect(str(market / "market.duckdb")) as connection:
        connection.execute("UPDATE customers SET tier = NULL WHERE rowid % 5 = 0")
        missing = connection.execute(
            "SELECT count(*) FROM customers WHERE tier IS NULL AND joined IS NOT NULL"
        ).fetchone()[0]
    bound = fk.open(market).ask("PREDICT customers.tier FOR EACH customers.customer_id", name="Tier")
    assert bound.database.schema["customers"]["tier"].stype is Stype.CATEGORICAL
    assert bound.schema["customers"]["tier"].stype is Stype.IGNORE
    run = fk.train(bound, tracking_uri=tracking, scoreboard="off")
    assert "tier" not in {
        c.name for c in fk.workflow.load_bundle(bound.database, run_id=run.run_id)[0].schema["customers"].features
    }
    run.predict(into="TIERS", tracking_uri=tracking)
    assert len(read(market, "TIERS")) == missing


def test_task_tables_are_saved_and_never_over_others(market):
    bound = ask(market)
    where = fk.workflow.save_tables(bound, bound.preview().tables)
    assert sorted(where) == ["asked_test", "asked_train", "asked_validation"]
    task = {
        "type": "binary_classification",
        "entity": {"customer_id": "customers.customer_id"},
        "time": "seed_time",
        "label": "label",
        "tables": {s: f"asked_{s}" for s in ("train", "validation", "test")},
    }
    assert rows(prepare(fk.open(market).task("Saved", task))) == rows(prepare(ask(market)))
    with pytest.raises(fk.ForeknowError, match="exists already"):
        fk.workflow.save_tables(bound, bound.preview().tables)
