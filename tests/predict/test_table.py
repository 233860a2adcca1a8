"""Prediction tables, column by column."""

import datetime as dt

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from foreknow.errors import PredictionError
from foreknow.predict.table import LINEAGE, Lineage, embeddings_table, predictions_table
from foreknow.task.label import LabelEncoding
from foreknow.types import TaskType

AT = dt.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=dt.UTC)
WHENCE = Lineage(model_version="churn/3", run_id="0c3e", predicted_at=AT)
KEYS = pa.table({"customer_id": ["a", "b"], "seed_time": pa.array([0, 1], pa.timestamp("s"))})


def labels(kind, *classes, dtype="VARCHAR"):
    return LabelEncoding(type=kind, dtype=dtype, classes=classes, shares=(1 / max(len(classes), 1),) * len(classes))


def test_regression():
    table = predictions_table(KEYS, np.array([1.5, -2.0], np.float32), labels(TaskType.REGRESSION), WHENCE)
    assert table.column_names == ["customer_id", "seed_time", "predicted_value", *LINEAGE]
    assert table.schema.field("predicted_value").type == pa.float64()
    assert table["predicted_value"].to_pylist() == [1.5, -2.0]


def test_keys_stay_as_they_were_given():
    table = predictions_table(KEYS, np.zeros(2), labels(TaskType.REGRESSION), WHENCE)
    assert table.select(KEYS.column_names).equals(KEYS)


def test_lineage_is_on_every_row():
    table = predictions_table(KEYS, np.zeros(2), labels(TaskType.REGRESSION), WHENCE)
    assert table.select(LINEAGE).to_pylist() == [{"model_version": "churn/3", "run_id": "0c3e", "predicted_at": AT}] * 2


@pytest.mark.parametrize(
    ("dtype", "classes", "typed"),
    [
        ("VARCHAR", ("no", "yes"), ["yes", "no"]),
        ("BOOLEAN", ("false", "true"), [True, False]),
        ("BIGINT", ("0", "1"), [1, 0]),
        ("UINTEGER", ("7", "9"), [9, 7]),
        ("TINYINT", ("-1", "1"), [1, -1]),
        ("DOUBLE", ("0", "0.5"), [0.5, 0.0]),
        ("DECIMAL(9,2)", ("1", "2"), [2.0, 1.0]),
    ],
)
def test_binary_labels_come_in_their_own_type(dtype, classes, typed):
    """The second class is predicted from one half on, that included."""
    table = predictions_table(KEYS, np.array([0.5, 0.4999]), labels(TaskType.BINARY, *classes, dtype=dtype), WHENCE)
    assert table.column_names == ["customer_id", "seed_time", "predicted_labels", "probs", *LINEAGE]
    assert table["predicted_labels"].to_pylist() == typed
    assert [type(v) for v in table["predicted_labels"].to_pylist()] == [type(v) for v in typed]
    assert table["probs"].to_pylist() == [0.5, 0.4999]


def test_multiclass_has_a_probability_per_class():
    output = np.array([[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]])
    table = predictions_table(KEYS, output, labels(TaskType.MULTICLASS, "x", "y", "z"), WHENCE)
    assert table["predicted_labels"].to_pylist() == ["y", "x"]
    assert table["probs"].to_pylist() == output.tolist()


def test_multilabel_lists_every_class_from_one_half_on():
    output = np.array([[0.5, 0.9, 0.1], [0.2, 0.3, 0.4]])
    table = predictions_table(KEYS, output, labels(TaskType.MULTILABEL, "1", "2", "3", dtype="BIGINT[]"), WHENCE)
    assert table["predicted_labels"].to_pylist() == [[1, 2], []]
    assert table["probs"].to_pylist() == output.tolist()


def test_no_rows_are_a_table_too():
    none = KEYS.slice(0, 0)
    table = predictions_table(none, np.zeros((0, 3)), labels(TaskType.MULTILABEL, "x", "y", "z"), WHENCE)
    assert table.num_rows == 0
    assert embeddings_table(none, np.zeros((0, 4)), WHENCE).num_rows == 0


def test_embeddings():
    vectors = np.arange(6, dtype=np.float64).reshape(2, 3)
    table = embeddings_table(KEYS, vectors, WHENCE)
    assert table.column_names == ["customer_id", "seed_time", "embedding", *LINEAGE]
    assert table["embedding"].to_pylist() == vectors.tolist()


def test_duckdb_takes_all_of_it():
    output = np.array([[0.5, 0.9], [0.2, 0.3]])
    predictions = predictions_table(KEYS, output, labels(TaskType.MULTILABEL, "x", "y"), WHENCE)
    embeddings = embeddings_table(KEYS, output, WHENCE)
    with duckdb.connect() as connection:
        connection.register("p", predictions)
        connection.register("e", embeddings)
        connection.execute("CREATE TABLE stored AS SELECT p.*, e.embedding FROM p JOIN e USING (customer_id)")
        types = dict(connection.sql("SELECT column_name, column_type FROM (DESCRIBE stored)").fetchall())
    assert types == {
        "customer_id": "VARCHAR",
        "seed_time": "TIMESTAMP_S",
        "predicted_labels": "VARCHAR[]",
        "probs": "DOUBLE[]",
        "model_version": "VARCHAR",
        "run_id": "VARCHAR",
        "predicted_at": "TIMESTAMP WITH TIME ZONE",
        "embedding": "FLOAT[2]",
    }


@pytest.mark.parametrize("name", ["probs", "RUN_ID", "predicted_value"])
def test_a_key_may_not_be_called_like_a_prediction(name):
    keys = pa.table({name: [1, 2]})
    with pytest.raises(PredictionError, match=f"the task's column '{name}' is called like a column of predictions"):
        predictions_table(keys, np.zeros(2), labels(TaskType.REGRESSION), WHENCE)
