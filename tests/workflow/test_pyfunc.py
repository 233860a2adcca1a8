"""The logged model, as MLflow loads and serves it."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import duckdb
import mlflow
import pandas as pd
import pytest

import foreknow as fk
from foreknow.errors import PredictionError, SourceError
from foreknow.pyfunc import ForeknowModel
from foreknow.testing.market import market_schema, market_tables
from foreknow.testing.market_project import SEED_TIMES
from foreknow.track.mlflow import tracking_uri

AT = pd.Timestamp(SEED_TIMES["test"][0], unit="s")


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FOREKNOW_HOME", str(tmp_path / "serving"))
    return tmp_path / "serving"


def load(bundle):
    model = ForeknowModel()
    model.load_context(SimpleNamespace(artifacts={"bundle": str(bundle)}))
    return model


@pytest.fixture
def model(scored, home, monkeypatch):
    """The trained model over a copy of its database, and that database."""
    folder, run_id = scored
    monkeypatch.setenv("FOREKNOW_SOURCE", str(folder / "market.duckdb"))
    return load(folder / ".foreknow" / "runs" / run_id / "bundle"), folder / "market.duckdb"


def test_mlflow_loads_what_training_logged(trained, home):
    folder, run = trained
    uri = f"sqlite:///{folder}/mlflow.db"
    with tracking_uri(mlflow, uri):
        loaded = mlflow.pyfunc.load_model(run.model_uri)
    frame = pd.DataFrame({"customer_id": [5, 2], "seed_time": [AT, AT]})
    out = loaded.predict(frame)
    assert list(out.columns) == ["customer_id", "predicted_labels", "probs"]
    assert out["customer_id"].tolist() == [5, 2], "a row per row, in the order asked for"
    assert set(out["predicted_labels"]) <= {"true", "false"}
    signature = loaded.metadata.signature
    assert signature.inputs.input_names() == ["customer_id", "seed_time"]
    assert signature.outputs.input_names() == list(out.columns)


def test_it_serves_what_predict_writes(model, scored):
    served, database = model
    folder, run_id = scored
    fk.predict(fk.open(folder, home=folder / ".foreknow"), run_id=run_id, into="P")
    with duckdb.connect(str(database), read_only=True) as connection:
        written = connection.sql("SELECT customer_id, seed_time, probs FROM P ORDER BY ALL").df()
    out = served.predict(None, written[["customer_id", "seed_time"]])
    assert out["probs"].tolist() == pytest.approx(written["probs"].tolist(), rel=1e-6)


def test_without_a_time_it_is_the_latest_known(model):
    served, _ = model
    columns = {t.name: t.time_column for t in market_schema() if t.time_column is not None}
    times = [t for name, column in columns.items() for t in market_tables()[name][column].to_pylist() if t is not None]
    expected = served.predict(None, pd.DataFrame({"customer_id": [5], "seed_time": [max(times)]}))
    for frame in (
        pd.DataFrame({"customer_id": [5]}),
        pd.DataFrame({"customer_id": [5], "seed_time": [pd.NaT]}),
        pd.DataFrame({"customer_id": [5], "seed_time": [None]}),
    ):
        assert served.predict(None, frame)["probs"].tolist() == expected["probs"].tolist()
    mixed = pd.DataFrame({"customer_id": [5, 5], "seed_time": [AT, pd.NaT]})
    assert served.predict(None, mixed)["probs"][1] == pytest.approx(expected["probs"][0], rel=1e-6)


def test_times_with_a_zone_are_understood(model):
    served, _ = model
    plain = served.predict(None, pd.DataFrame({"customer_id": [5], "seed_time": [AT]}))
    zoned = AT.tz_localize("UTC").tz_convert("Asia/Tokyo")
    assert served.predict(None, pd.DataFrame({"customer_id": [5], "seed_time": [zoned]})).equals(plain)


def test_rows_added_while_it_serves_are_seen(model):
    served, database = model
    frame = pd.DataFrame({"customer_id": [5], "seed_time": [AT]})
    before = served.predict(None, frame)["probs"][0]
    with duckdb.connect(str(database)) as connection:
        connection.execute("INSERT INTO sales (customer_id, sold, amount) VALUES (5, ?, 9)", [AT.to_pydatetime()])
    assert served.predict(None, frame)["probs"][0] != before


def test_an_unknown_entity_is_an_error_not_a_missing_row(model):
    served, _ = model
    with pytest.raises(PredictionError, match=r"1 of 2 rows name entities that are not in 'customers' \(e.g. 4711\)"):
        served.predict(None, pd.DataFrame({"customer_id": [5, 4711], "seed_time": [AT, AT]}))


def test_a_source_that_moved_is_named(trained, home, monkeypatch):
    _, run = trained
    monkeypatch.setenv("FOREKNOW_SOURCE", "/nowhere/market.duckdb")
    with pytest.raises(SourceError, match=r"there is no DuckDB file '/nowhere/market.duckdb'"):
        load(run.folder / "bundle")


def test_a_model_without_a_source_asks_for_one(scored, home):
    folder, run_id = scored
    path = folder / ".foreknow" / "runs" / run_id / "bundle" / "bundle.json"
    bundle = json.loads(path.read_text())
    del bundle["info"]["source"]
    path.write_text(json.dumps(bundle))
    with pytest.raises(PredictionError, match="set FOREKNOW_SOURCE to the database's path"):
        load(path.parent)


@pytest.mark.slow
def test_mlflow_serves_it_over_http(trained, tmp_path):
    folder, run = trained
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    process = subprocess.Popen(
        [
            *(Path(sys.executable).parent / "mlflow", "models", "serve", "--env-manager", "local"),
            *("--model-uri", run.model_uri, "--host", "127.0.0.1", "--port", str(port)),
        ],
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",  # it looks for uvicorn there
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "FOREKNOW_HOME": str(tmp_path / "serving"),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    records = {"dataframe_records": [{"customer_id": 5, "seed_time": "2022-12-01"}, {"customer_id": 7}]}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations",
        data=json.dumps(records).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        end = time.monotonic() + 120
        while True:
            try:
                answer = json.load(urllib.request.urlopen(request, timeout=60))
                break
            except urllib.error.URLError:
                assert process.poll() is None
                assert time.monotonic() < end
                time.sleep(0.5)
    finally:
        os.killpg(process.pid, 15)
        process.wait()
    assert [r["customer_id"] for r in answer["predictions"]] == [5, 7]
    assert all(0 < r["probs"] < 1 for r in answer["predictions"])
