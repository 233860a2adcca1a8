"""Predicting into tables: what is refused, what is written, and that the future is not seen."""

import datetime as dt
import re

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import foreknow as fk
from foreknow.errors import PredictionError, SinkError, TaskError
from foreknow.testing.market import START, market_schema, market_tables, other_future
from foreknow.testing.market_project import QUICK, TASKS, write_tables
from foreknow.types import DAY_S
from foreknow.workflow import Silent, evaluate

SEED_TIME = START + 340 * DAY_S
LINEAGE = ["model_version", "run_id", "predicted_at"]


def rows(path, table, order="ALL"):
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.sql(f'SELECT * FROM "{table}" ORDER BY {order}').to_arrow_table()


class Stages(Silent):
    """Remembers what is said."""

    def __init__(self):
        self.told = []

    def stage(self, text):
        self.told.append(text)


def test_a_table_that_exists_is_refused_before_any_work(market):
    """Neither a bundle is loaded (there is no such run) nor a table staged (there is no workspace)."""
    with duckdb.connect(str(market / "market.duckdb")) as connection:
        connection.execute("CREATE TABLE PREDICTIONS_BUYS AS SELECT 1 AS kept")
    database = fk.open(market)
    with pytest.raises(SinkError, match=r"PREDICTIONS_BUYS \(1 rows\) exists already") as caught:
        fk.predict(database, run_id="no such run", into="predictions_buys".upper())
    assert "--overwrite" in str(caught.value)
    with pytest.raises(SinkError, match="exists already"):
        fk.predict(database, run_id="no such run", into="predictions_buys")
    assert not database.workspace.exists()
    assert rows(market / "market.duckdb", "PREDICTIONS_BUYS").to_pylist() == [{"kept": 1}]


def test_overwrite_replaces_predictions_but_never_data(scored):
    folder, run_id = scored
    database = fk.open(folder)
    first = fk.predict(database, run_id=run_id, into="P")
    with pytest.raises(SinkError, match=r"P .* exists already"):
        fk.predict(database, run_id=run_id, into="P")
    second = fk.predict(database, run_id=run_id, into="P", at=SEED_TIME - 30 * DAY_S, overwrite=True)
    assert rows(folder / "market.duckdb", "P").num_rows == second.num_rows != first.num_rows
    with pytest.raises(SinkError, match=r"sales \(144 rows\) .* doesn't hold predictions"):
        fk.predict(database, run_id=run_id, into="sales", overwrite=True)
    assert rows(folder / "market.duckdb", "sales").num_rows == 144


def test_columns_and_lineage(scored):
    folder, run_id = scored
    before = dt.datetime.now(dt.UTC)
    done = fk.predict(fk.open(folder), run_id=run_id, into="PREDICTIONS_BUYS", embeddings=True)
    table = rows(folder / "market.duckdb", "PREDICTIONS_BUYS")
    assert table.column_names == ["customer_id", "seed_time", "predicted_labels", "probs", *LINEAGE]
    assert table.schema.field("customer_id").type == pa.int64()
    assert table.schema.field("predicted_labels").type == pa.bool_()
    first = table.to_pylist()[0]
    assert first["seed_time"] == dt.datetime.fromtimestamp(SEED_TIME, dt.UTC).replace(tzinfo=None)
    assert first["predicted_labels"] == (first["probs"] >= 0.5)
    assert first["run_id"] == run_id
    assert re.fullmatch(r"[a-z]+-[a-z]+-\d+", first["model_version"])
    assert before <= first["predicted_at"] <= dt.datetime.now(dt.UTC)
    name = "PREDICTIONS_EMBEDDINGS_CUSTOMER_ID_BUYS"
    assert set(done.tables) == {"PREDICTIONS_BUYS", name}
    vectors = rows(folder / "market.duckdb", name)
    assert vectors.column_names == ["customer_id", "seed_time", "embedding", *LINEAGE]
    assert len(vectors["embedding"][0]) == QUICK["channels"]
    assert vectors["customer_id"].to_pylist() == table["customer_id"].to_pylist()


def test_rows_and_customers_and_categories_that_came_after_training(scored):
    folder, run_id = scored
    at = START + 600 * DAY_S
    with duckdb.connect(str(folder / "market.duckdb")) as connection:
        connection.execute(f"""
            INSERT INTO customers (customer_id, joined, tier, region) VALUES
                (1000, make_timestamp({at}000000), 'platinum', 'west'),
                (1001, make_timestamp({at + 1}000000), 'gold', 'north');
            INSERT INTO sales (customer_id, receiver_id, brand, code, sold, amount, channel, extras) VALUES
                (1000, 3, 'acme', 1, make_timestamp({at}000000), 12, 'phone', ['moon']),
                (0, 1000, 'acme', 77, make_timestamp({at}000000), 1e12, 'web', []);
        """)
    database = fk.open(folder)
    done = fk.predict(database, run_id=run_id, into="LATER", at=dt.datetime.fromtimestamp(at, dt.UTC))
    found = rows(folder / "market.duckdb", "LATER")
    customers = found["customer_id"].to_pylist()
    assert 1000 in customers, "who joins at that very moment is known"
    assert 1001 not in customers, "who joins a second later is not"
    assert all(0 < p < 1 for p in found["probs"].to_pylist())
    assert done.num_rows == found.num_rows == 25 - market_tables()["customers"]["joined"].null_count
    fk.predict(database, run_id=run_id, into="BEFORE", at=at - 60)
    before = {r["customer_id"]: r["probs"] for r in rows(folder / "market.duckdb", "BEFORE").to_pylist()}
    after = {r["customer_id"]: r["probs"] for r in found.to_pylist()}
    assert before[0] != after[0], "the new sale is seen"


def test_no_prediction_sees_the_future(scored):
    """The future test: rows after the seed time are changed, added and deleted in every table, new customers too."""
    folder, run_id = scored
    fk.predict(fk.open(folder), run_id=run_id, into="NOW", at=SEED_TIME, embeddings=True)
    now = rows(folder / "market.duckdb", "NOW", "customer_id")
    vectors = rows(folder / "market.duckdb", "PREDICTIONS_EMBEDDINGS_CUSTOMER_ID_NOW", "customer_id")
    tables = market_tables()
    for seed in (1, 2):
        changed = other_future(tables, SEED_TIME, seed=seed)
        assert not changed["sales"].equals(tables["sales"])
        assert changed["customers"].num_rows > now.num_rows
        write_tables(folder / "market.duckdb", changed)
        database = fk.open(folder)
        fk.predict(database, run_id=run_id, into="THEN", at=SEED_TIME, embeddings=True, overwrite=True)
        then = rows(folder / "market.duckdb", "THEN", "customer_id")
        assert then.select(["customer_id", "probs"]).equals(now.select(["customer_id", "probs"]))
        again = rows(folder / "market.duckdb", "PREDICTIONS_EMBEDDINGS_CUSTOMER_ID_THEN", "customer_id")
        assert again["embedding"].equals(vectors["embedding"])


def test_no_evaluation_sees_the_future_either(scored):
    """The same for the task's own rows: their labels change with the future, what is predicted doesn't."""
    folder, run_id = scored
    fk.predict(fk.open(folder), run_id=run_id, into="NOW")
    now = rows(folder / "market.duckdb", "NOW", "customer_id").select(["customer_id", "seed_time", "probs"])
    write_tables(folder / "market.duckdb", other_future(market_tables(), SEED_TIME, seed=3))
    fk.predict(fk.open(folder), run_id=run_id, into="THEN")
    then = rows(folder / "market.duckdb", "THEN", "customer_id").select(["customer_id", "seed_time", "probs"])
    assert then.equals(now)


def test_a_changed_schema_is_told_as_a_diff(scored):
    folder, run_id = scored
    with duckdb.connect(str(folder / "market.duckdb")) as connection:
        connection.execute("ALTER TABLE sales RENAME amount TO amounts; ALTER TABLE visits RENAME TO visit;")
        connection.execute("ALTER TABLE customers ALTER age TYPE VARCHAR; ALTER TABLE customers ADD shoe_size INTEGER;")
    with pytest.raises(PredictionError) as caught:
        fk.predict(fk.open(folder), run_id=run_id, into="P")
    text = str(caught.value)
    assert "- amount DOUBLE is gone" in text
    assert "was it renamed to 'amounts'?" in text
    assert "- the table is gone" in text
    assert "was it renamed to 'visit'?" in text
    assert "~ age was DOUBLE, now is VARCHAR" in text
    assert "shoe_size" not in text


def test_predictions_do_not_make_the_tables_be_read_again(scored):
    folder, run_id = scored
    first, second = Stages(), Stages()
    fk.predict(fk.open(folder), run_id=run_id, into="P1", reporter=first)
    assert "reading sales" in first.told
    fk.predict(fk.open(folder), run_id=run_id, into="P2", reporter=second)
    assert second.told == ["reading tables", "predicting 15 rows"]


def test_a_folder_of_files_gets_parquet_files_that_are_no_tables(tmp_path, tracking, few_plots):
    folder = tmp_path / "files"
    folder.mkdir()
    for name, table in market_tables().items():
        pq.write_table(table, folder / f"{name}.parquet")
    from foreknow.project import project_text

    text = project_text(market_schema(), dataset="Files", source=".")
    tasks = yaml.safe_dump({"tasks": {"Buys": TASKS["Buys"]}, "train": dict(QUICK)})
    (folder / "foreknow.yaml").write_text(text + tasks)
    run = fk.train(fk.open(folder).task("Buys"), tracking_uri=tracking)
    done = run.predict("PREDICTIONS_BUYS")
    path = folder / "_predictions" / "PREDICTIONS_BUYS.parquet"
    assert done.tables == {"PREDICTIONS_BUYS": f"{path} ({done.num_rows} rows)"}
    assert pq.read_table(path).num_rows == done.num_rows
    with pytest.raises(SinkError, match=r"PREDICTIONS_BUYS.parquet exists already"):
        run.predict("PREDICTIONS_BUYS")
    assert set(fk.open(folder).source.tables()) == set(market_tables())
    assert set(fk.open(folder, home=tmp_path / "new").inspect().schema.tables) == set(market_tables())


def test_where_predictions_go_can_be_chosen(scored, tmp_path):
    folder, run_id = scored
    database = fk.open(folder)
    fk.predict(database, run_id=run_id, into="P", to=tmp_path / "out" / "here")
    assert (tmp_path / "out" / "here" / "P.parquet").exists()
    fk.predict(database, run_id=run_id, into="P", to=tmp_path / "new.duckdb")
    assert rows(tmp_path / "new.duckdb", "P").num_rows > 0
    with pytest.raises(SinkError, match="neither a DuckDB file nor a folder"):
        fk.predict(database, run_id=run_id, into="P", to=tmp_path / "p.csv")
    tables = {t for t in database.source.tables() if t.startswith("P")}
    assert not tables, "the database is as it was"


def test_rows_to_predict_for_may_be_a_table_sql_or_a_time(scored):
    folder, run_id = scored
    database = fk.open(folder)
    with duckdb.connect(str(folder / "market.duckdb")) as connection:
        connection.execute("CREATE TABLE wanted AS SELECT 5 AS customer_id, TIMESTAMP '2022-12-01' AS seed_time")
    one = fk.predict(database, run_id=run_id, into="A", table="wanted")
    sql = "SELECT 5 AS customer_id, DATE '2022-12-01' AS seed_time"
    two = fk.predict(database, run_id=run_id, into="B", table=sql)
    three = fk.predict(database, run_id=run_id, into="C", at="2022-12-01")
    assert one.head[0]["probs"] == two.head[0]["probs"]
    (same,) = [r for r in rows(folder / "market.duckdb", "C").to_pylist() if r["customer_id"] == 5]
    assert same["probs"] == pytest.approx(one.head[0]["probs"], rel=1e-6), "the last digits depend on the batch"
    assert three.num_rows > 1


def test_requests_that_make_no_sense(scored):
    folder, run_id = scored
    database = fk.open(folder)
    with pytest.raises(PredictionError, match="exactly one of a run and a model"):
        fk.predict(database, into="P")
    with pytest.raises(PredictionError, match="a table and a time were both given"):
        fk.predict(database, run_id=run_id, into="P", table="x", at="2022-12-01")
    with pytest.raises(PredictionError, match="'tomorrow' is no time"):
        fk.predict(database, run_id=run_id, into="P", at="tomorrow")
    with pytest.raises(PredictionError, match="no row of 'customers' exists at that time"):
        fk.predict(database, run_id=run_id, into="P", at="1999-01-01")
    with pytest.raises(SinkError, match="' ' is no name for a table"):
        fk.predict(database, run_id=run_id, into=" ")
    with pytest.raises(TaskError, match="no column 'seed_time'"):
        fk.predict(database, run_id=run_id, into="P", table="SELECT 5 AS customer_id")


def test_evaluation_scores_any_split(scored):
    folder, run_id = scored
    database = fk.open(folder)
    scores = {s: evaluate(database, run_id=run_id, split=s) for s in ("train", "validation", "test")}
    done = fk.predict(database, run_id=run_id, into="P")
    assert scores["test"] == done.metrics
    assert len({s["roc_auc"] for s in scores.values()}) > 1
    with pytest.raises(TaskError, match="no column 'label'"):
        evaluate(database, run_id=run_id, table="SELECT 5 AS customer_id, DATE '2022-12-01' AS seed_time")
    with pytest.raises(TaskError, match="task 'Buys' has no tset table"):
        evaluate(database, run_id=run_id, split="tset")
