"""Training watched over HTTP: live, interrupted, killed and resumed, and with MLflow away."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import duckdb
import mlflow
import pytest
import torch
from safetensors.torch import load_file

import foreknow as fk
from foreknow.errors import TrackingError
from foreknow.testing.market_project import write_market
from foreknow.track.connect import connect
from foreknow.train import plots
from foreknow.workflow import Silent

pytestmark = pytest.mark.xdist_group("mlflow")

EXPERIMENT = "Market/binary_classification/Buys"
LEARNING = ("train_loss", "val_loss", "train_metric_roc_auc", "val_metric_roc_auc", "learning_rate")


@pytest.fixture(autouse=True)
def no_plots(monkeypatch):
    """Plots are drawn, and found in MLflow, in ``tests/workflow``."""
    monkeypatch.setattr(plots, "evaluation_figures", lambda *_, **__: {})


@pytest.fixture
def market(tmp_path):
    return write_market(tmp_path / "market")


def wait_until(fact, timeout=60):
    end = time.monotonic() + timeout
    while not (found := fact()):
        assert time.monotonic() < end, "it didn't happen"
        time.sleep(0.1)
    return found


def steps(client, run_id, name="val_loss"):
    return [m.step for m in client.get_metric_history(run_id, name)]


def same_weights(a, b):
    a, b = (load_file(r.folder / "bundle" / "weights.safetensors") for r in (a, b))
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


class Actor(Silent):
    """Does something after an epoch."""

    def __init__(self, **acts):
        self._acts = {int(name.removeprefix("after_")): act for name, act in acts.items()}
        self.findings, self.run_id = [], None

    def run_started(self, run_id, run_name, url, num_parameters, num_epochs):
        self.run_id = re.search(r"/runs/([0-9a-f]+)\?", url)[1]

    def finding(self, finding):
        self.findings.append(finding)

    def on_epoch(self, record):
        self._acts.get(record.epoch, lambda _: None)(self)


def last_run(client):
    experiment = client.get_experiment_by_name(EXPERIMENT)
    return client.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"])[0]


def test_live_registered_and_served_from_the_registry(server, market):
    client = mlflow.MlflowClient(server.url)
    seen = []

    def look(reporter):
        wait_until(lambda: steps(client, reporter.run_id) == [1])
        assert all(steps(client, reporter.run_id, name) == [1] for name in LEARNING)
        seen.append(client.get_run(reporter.run_id).info.status)

    database = fk.open(market)
    task = database.task("Buys")
    run = fk.train(task, tracking_uri=server.url, register="buys", alias="champion", reporter=Actor(after_1=look))
    assert seen == ["RUNNING"], "the first epoch is on the page while the second is trained"
    found = client.get_run(run.run_id)
    page = f"{server.url}/#/experiments/{found.info.experiment_id}/runs/{run.run_id}?workflowType=machine_learning"
    assert run.url == page
    assert found.info.status == "FINISHED"
    assert [steps(client, run.run_id, name) for name in LEARNING] == [[1, 2]] * 5
    assert any(k.startswith("system/") for k in found.data.metrics)
    assert {a.path for a in client.list_artifacts(run.run_id)} >= {"dataset.yaml", "config.yaml", "scoreboard.json"}
    assert run.model_version == "1"
    assert json.loads((run.folder / "result.json").read_text())["model_version"] == "1"
    version = client.get_model_version_by_alias("buys", "champion")
    assert (version.version, version.run_id) == ("1", run.run_id)
    assert "classification on `Market`" in version.description
    assert version.tags["foreknow.snapshot"] == found.data.tags["foreknow.snapshot"]

    by_alias = fk.predict(database, model="buys@champion", into="A", tracking_uri=server.url)
    by_version = fk.predict(database, model="models:/buys/1", into="B", tracking_uri=server.url)
    with duckdb.connect(str(market / "market.duckdb"), read_only=True) as connection:
        lineage = [connection.sql(f"SELECT DISTINCT model_version, run_id FROM {t}").fetchall() for t in "AB"]
    assert lineage == [[("buys/1", run.run_id)]] * 2
    assert by_version.metrics == by_alias.metrics == run.metrics["test"]

    shutil.rmtree(database.workspace / "runs")
    fetched = fk.predict(database, run_id=run.run_id, into="C", tracking_uri=server.url)
    assert fetched.metrics == by_version.metrics
    assert (database.workspace / "downloads" / run.run_id / "bundle.json").exists()
    once = fk.predict(database, run_id=run.run_id, into="D", tracking_uri="http://127.0.0.1:9")
    assert once.metrics == by_version.metrics, "what was fetched once is there"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_training_as_killed(server, market, number):
    handler = signal.getsignal(number)
    stop = Actor(after_1=lambda _: os.kill(os.getpid(), number))
    with pytest.raises(KeyboardInterrupt):
        fk.train(fk.open(market).task("Buys"), tracking_uri=server.url, reporter=stop)
    assert signal.getsignal(number) == handler
    client = mlflow.MlflowClient(server.url)
    run = client.get_run(stop.run_id)
    assert run.info.status == "KILLED"
    assert run.info.end_time
    assert steps(client, stop.run_id) == [1], "what was queued is sent before"


BLOCKED = """
import sys, time
import foreknow as fk
from foreknow.workflow import Silent

class Block(Silent):
    def on_epoch(self, record):
        if record.epoch == 2:
            print("ready", flush=True)
            time.sleep(600)

fk.train(fk.open(sys.argv[1]).task("Buys"), tracking_uri=sys.argv[2], epochs=3, reporter=Block(), scoreboard="off")
"""


def test_a_killed_training_resumes_to_the_same_model(server, market, tmp_path):
    """SIGKILL after two of three epochs: the guard closes the run, and it goes on as if nothing had happened."""
    command = [sys.executable, "-c", BLOCKED, str(market), server.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        client = mlflow.MlflowClient(server.url)
        run_id = last_run(client).info.run_id
        assert client.get_run(run_id).info.status == "RUNNING"
        process.kill()
    wait_until(lambda: client.get_run(run_id).info.status == "KILLED")
    resumed = fk.train(fk.open(market).task("Buys"), tracking_uri=server.url, resume="latest")
    assert resumed.run_id == run_id
    assert client.get_run(run_id).info.status == "FINISHED"
    for name in LEARNING:
        assert steps(client, run_id, name) == [1, 2, 3], "once each, also if killed before it was sent"
    again = fk.open(write_market(tmp_path / "again")).task("Buys")
    whole = fk.train(again, tracking_uri=server.url, epochs=3, scoreboard="off")
    assert [replace(r, elapsed_s=0) for r in resumed.history] == [replace(r, elapsed_s=0) for r in whole.history]
    assert resumed.metrics == whole.metrics
    assert same_weights(resumed, whole)


def test_training_goes_on_while_mlflow_is_away(proxy, server, market):
    """It is back before the end: nothing is missing, nothing is said."""
    reporter = Actor(after_1=lambda _: proxy.down(), after_3=lambda _: proxy.up())
    run = fk.train(fk.open(market).task("Buys"), tracking_uri=proxy.url, epochs=4, patience=9, reporter=reporter)
    assert run.not_recorded == ()
    client = mlflow.MlflowClient(server.url)
    assert client.get_run(run.run_id).info.status == "FINISHED"
    assert steps(client, run.run_id) == [1, 2, 3, 4]
    assert not (run.folder / "unsent.json").exists()


def test_nothing_is_lost_if_mlflow_stays_away(proxy, server, market):
    reporter = Actor(after_1=lambda _: proxy.down())
    database = fk.open(market)
    with pytest.raises(TrackingError, match="its model is not registered: it could not be uploaded") as caught:
        fk.train(database.task("Buys"), tracking_uri=proxy.url, register="away", alias="champion", reporter=reporter)
    folder = database.workspace / "runs" / reporter.run_id
    assert f"the training is finished and kept in '{folder}'" in str(caught.value)
    assert f"foreknow models register away --run {reporter.run_id} --alias champion" in str(caught.value)
    (told,) = [f for f in reporter.findings if f.name == "not-recorded"]
    assert "scoreboard.json, tags, plots, model, final status" in told.message
    assert str(folder) in told.message
    result = json.loads((folder / "result.json").read_text())
    assert result["status"] == "FINISHED"
    assert "model" in result["not_recorded"]
    assert (folder / "bundle" / "weights.safetensors").exists()
    assert (folder / "plots" / "learning_curves.png").exists()
    assert fk.predict(database, run_id=reporter.run_id, into="P").metrics == result["metrics"]["test"]
    client = mlflow.MlflowClient(server.url)
    assert client.get_run(reporter.run_id).info.status == "RUNNING"

    proxy.up()
    connect(database.workspace, proxy.url)
    run = client.get_run(reporter.run_id)
    assert run.info.status == "FINISHED"
    assert steps(client, reporter.run_id) == [1, 2]
    assert run.data.metrics["test_metric_roc_auc"] == result["metrics"]["test"]["roc_auc"]
    assert {a.path for a in client.list_artifacts(reporter.run_id)} >= {"scoreboard.json", "plots"}
    assert len(run.outputs.model_outputs) == 1
    assert not (folder / "unsent.json").exists()
