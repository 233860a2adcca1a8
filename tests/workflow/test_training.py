"""Training from tables to a logged model, with MLflow in a file. What needs a server is in ``tests/track``."""

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import mlflow
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

import foreknow as fk
from foreknow.errors import ConfigError, TaskError, TrackingError, TrainingError
from foreknow.pyfunc import ForeknowModel
from foreknow.testing.market import market_tables, other_future
from foreknow.testing.market_project import LABELS_END, QUICK, SEED_TIMES, TASKS, write_market, write_tables
from foreknow.workflow import Silent

LEARNING = ("train_loss", "val_loss", "train_metric_{}", "val_metric_{}", "learning_rate")


def weights(run):
    return load_file(run.folder / "bundle" / "weights.safetensors")


def timeless(run):
    return [replace(r, elapsed_s=0) for r in run.history]


def same_weights(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def artifacts(client, run_id, path=None):
    for found in client.list_artifacts(run_id, path):
        if found.is_dir:
            yield from artifacts(client, run_id, found.path)
        else:
            yield found.path


def serve(run, rows, *, task):
    """What the logged model answers for the first of some rows."""
    model = ForeknowModel()
    model.load_context(SimpleNamespace(artifacts={"bundle": str(run.folder / "bundle")}))
    columns = [*task.entity_columns, *([task.time] if task.time else [])]
    return model.predict(None, pd.DataFrame([{c: r[c] for c in columns} for r in rows])).to_dict("records")[0]


def as_text(label):
    if isinstance(label, list):
        return [as_text(v) for v in label]
    return str(label).lower() if isinstance(label, bool) else str(label)


@pytest.mark.parametrize("name", TASKS)
def test_every_type_of_task_goes_all_the_way(name, market, tracking, few_plots, tmp_path, monkeypatch):
    monkeypatch.setenv("FOREKNOW_HOME", str(tmp_path / "home"))
    database = fk.open(market)
    bound = database.task(name)
    run = fk.train(bound, tracking_uri=tracking)
    metric = bound.task.metric
    assert run.experiment == f"Market/{bound.task.type}/{name}"
    assert len(run.history) == 2
    assert [r.model for r in run.scoreboard][-1] == "graph network"
    assert len(run.scoreboard) >= 2
    assert math.isfinite(run.metrics["val"][metric])
    assert math.isfinite(run.metrics["test"][metric])
    done = run.predict("PREDICTIONS")
    keys = bound.task.entity_columns + ((bound.task.time,) if bound.task.time else ())
    value = ("predicted_value",) if name == "Spend" else ("predicted_labels", "probs")
    assert done.columns == (*keys, *value, "model_version", "run_id", "predicted_at")
    served = serve(run, done.head[:1], task=bound.task)
    shown = {k: v if k != "predicted_labels" else as_text(v) for k, v in done.head[0].items()}
    assert served == {k: pytest.approx(shown[k]) if k in ("probs", "predicted_value") else shown[k] for k in served}
    if bound.task.time is None:
        everything = run.predict("ALL_OF_THEM", at="2022-12-01")
        assert everything.num_rows == 10
        assert done.columns == everything.columns
    assert done.metrics[metric] == pytest.approx(run.metrics["test"][metric]), "serving scores as evaluation did"


def test_a_run_is_all_there_in_mlflow(trained):
    folder, run = trained
    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name("Market/binary_classification/Buys")
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    found = client.get_run(run.run_id)
    assert found.info.status == "FINISHED"
    assert found.info.run_name == run.run_name
    adjective, noun, number = run.run_name.split("-")
    assert adjective.isalpha()
    assert noun.isalpha()
    assert number.isdigit()
    for name in LEARNING:
        history = client.get_metric_history(run.run_id, name.format("roc_auc"))
        assert [m.step for m in history] == [1, 2]
    assert found.data.metrics["test_metric_roc_auc"] == run.metrics["test"]["roc_auc"]
    baselines = {k for k in found.data.metrics if k.startswith("baseline_")}
    assert {f"baseline_{b}_val_metric_roc_auc" for b in ("majority", "aggregates", "entity_columns")} <= baselines
    assert run.verdict == json.loads((run.folder / "scoreboard.json").read_text())["verdict"]
    assert run.verdict.count(".") >= 1
    assert any(k.startswith("system/cpu") for k in found.data.metrics)
    assert found.data.params["channels"] == "8"
    assert found.data.params["num_neighbors"] == "(4, 3)"
    assert found.data.params["task.metric"] == "roc_auc"
    assert found.data.tags["foreknow.seed"] == "0"
    assert len(found.data.tags["foreknow.snapshot"]) == 16
    assert found.data.tags["foreknow.version"]
    assert "classification on `Market`" in found.data.tags["mlflow.note.content"]
    (dataset,) = found.inputs.dataset_inputs
    assert dataset.dataset.name == "Market.Buys.train"
    files = set(artifacts(client, run.run_id))
    assert {"dataset.yaml", "config.yaml", "scoreboard.json", "schema.svg", "plots/learning_curves.png"} <= files
    assert {"plots/roc_curve.png", "plots/scoreboard.png"} <= files


@pytest.mark.parametrize(
    ("level", "models"),
    [
        ("off", ["graph network"]),
        (
            "full",
            [
                "majority",
                "entity's mean",
                "entity's last value",
                "entity columns (LightGBM)",
                "aggregates (LightGBM)",
                "aggregates + network (LightGBM)",
                "graph network",
            ],
        ),
    ],
)
def test_a_scoreboard_holds_what_its_level_asks_for(level, models, market, tracking, few_plots):
    run = fk.train(fk.open(market).task("Buys"), tracking_uri=tracking, scoreboard=level, epochs=1)
    assert [r.model for r in run.scoreboard] == models
    assert bool(run.verdict) == (level != "off")
    for row in run.scoreboard[1:]:
        assert row.val_interval[0] < row.val["roc_auc"] < row.val_interval[1]
        assert not row.outputs


def test_the_model_shows_its_test_metrics_and_they_are_recorded_once(trained):
    folder, run = trained
    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    model = client.get_logged_model(run.model_uri.removeprefix("models:/"))
    assert str(model.status) == "READY"
    assert {m.key: m.value for m in model.metrics}["test_metric_roc_auc"] == run.metrics["test"]["roc_auc"]
    assert len(client.get_metric_history(run.run_id, "test_metric_roc_auc")) == 1


def test_the_result_on_disk_is_the_one_returned(trained):
    _, run = trained
    assert json.loads((run.folder / "result.json").read_text()) == run.to_dict()
    assert run.to_dict()["status"] == "FINISHED"
    assert run.not_recorded == ()


def test_nothing_is_pickled(trained):
    folder, _ = trained
    names = [p.name for p in folder.rglob("*") if p.is_file()]
    assert "weights.safetensors" in names
    assert not [n for n in names if n.endswith((".pkl", ".pickle", ".pt", ".pth", ".joblib", ".bin"))]
    (model,) = folder.rglob("MLmodel")
    assert "loader_module: mlflow.pyfunc.loaders.code_model" in model.read_text()


def test_one_seed_gives_one_model(trained, market, tracking, few_plots):
    _, first = trained
    task = fk.open(market).task("Buys")
    second = fk.train(task, tracking_uri=tracking)
    assert timeless(second) == timeless(first)
    assert second.metrics == first.metrics
    assert same_weights(weights(second), weights(first))


def test_what_happens_after_the_last_label_leaves_no_trace_in_the_model(trained, tmp_path, tracking, few_plots):
    """Training's future test: rows later than the last label window are changed, added and deleted in every table."""
    _, one = trained
    tables = market_tables()
    changed = other_future(tables, LABELS_END)
    assert not any(tables[t].equals(changed[t]) for t in ("customers", "articles", "sales", "visits", "follows"))
    folder = write_market(tmp_path / "later", changed)
    two = fk.train(fk.open(folder).task("Buys"), tracking_uri=tracking, scoreboard="off")
    assert one.metrics["val"] == two.metrics["val"]
    assert timeless(one) == timeless(two)
    assert same_weights(weights(one), weights(two))
    folder = write_market(tmp_path / "earlier", other_future(tables, SEED_TIMES["train"][0]))
    three = fk.train(fk.open(folder).task("Buys"), tracking_uri=tracking, scoreboard="off")
    assert not same_weights(weights(one), weights(three)), "what happened before does leave a trace"


def test_a_failed_run_says_why(market, tracking, few_plots):
    task = fk.open(market).task("Buys")
    with pytest.raises(TrainingError, match="the loss became") as caught:
        fk.train(task, tracking_uri=tracking, lr=1e30, clip_norm=None, epochs=4)
    run = last_run(tracking, task)
    assert run.info.status == "FAILED"
    assert run.info.end_time
    assert run.data.tags["foreknow.error"] == f"TrainingError: {caught.value}"


def test_ctrl_c_leaves_a_killed_run(market, tracking, few_plots):
    task = fk.open(market).task("Buys")
    with pytest.raises(KeyboardInterrupt):
        fk.train(task, tracking_uri=tracking, reporter=StopAfter(1))
    run = last_run(tracking, task)
    assert run.info.status == "KILLED"
    assert run.data.metrics["val_loss"] > 0, "what was queued is sent before"


def test_without_a_test_table_there_are_no_test_metrics(market, tracking, few_plots):
    definition = {**TASKS["Buys"], "tables": {k: v for k, v in TASKS["Buys"]["tables"].items() if k != "test"}}
    run = fk.train(fk.open(market).task("Buys", definition), tracking_uri=tracking)
    assert "test" not in run.metrics
    assert not [k for k in last_run(tracking, fk.open(market).task("Buys")).data.metrics if k.startswith("test_")]


def test_what_cannot_work_is_said_before_any_table_is_read(market, tracking):
    database = fk.open(market)
    task = database.task("Buys")
    home = database.workspace / "graphs"
    with pytest.raises(ConfigError, match="'a/b' can't be the name of a registered model"):
        fk.train(task, tracking_uri=tracking, register="a/b")
    with pytest.raises(ConfigError, match="'no good' can't be an alias"):
        fk.train(task, tracking_uri=tracking, register="ab", alias="no good")
    with pytest.raises(ConfigError, match="'champion' has no model to belong to"):
        fk.train(task, tracking_uri=tracking, alias="champion")
    with pytest.raises(ConfigError, match="did you mean 'epochs'"):
        fk.train(task, tracking_uri=tracking, epoch=3)
    with pytest.raises(TrainingError, match="there is no device 'tpu'"):
        fk.train(task, tracking_uri=tracking, device="tpu")
    with pytest.raises(TrackingError, match=r"127.0.0.1:9 can't be reached: Connection refused"):
        fk.train(task, tracking_uri="http://127.0.0.1:9")
    assert not home.exists()


def test_a_task_without_validation_rows_is_refused(market, tracking):
    definition = {**TASKS["Buys"], "tables": {"train": TASKS["Buys"]["tables"]["train"]}}
    with pytest.raises(TaskError, match="task 'Buys' has no validation table"):
        fk.train(fk.open(market).task("Buys", definition), tracking_uri=tracking)


# Going on with an interrupted run


class StopAfter(Silent):
    """Ctrl-C after an epoch."""

    def __init__(self, epoch):
        self._epoch = epoch

    def on_epoch(self, record):
        if record.epoch == self._epoch:
            raise KeyboardInterrupt


def interrupt(task, tracking, after=1, **options):
    with pytest.raises(KeyboardInterrupt):
        fk.train(task, tracking_uri=tracking, reporter=StopAfter(after), **options)
    return last_run(tracking, task).info.run_id


def last_run(tracking, task):
    client = mlflow.MlflowClient(tracking)
    experiment = client.get_experiment_by_name(task.experiment)
    return client.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"])[0]


def test_a_resumed_run_ends_like_one_that_was_not_interrupted(trained, market, tracking, few_plots):
    _, whole = trained
    task = fk.open(market).task("Buys")
    run_id = interrupt(task, tracking)
    run = fk.train(task, tracking_uri=tracking, resume="latest")
    assert run.run_id == run_id
    assert timeless(run) == timeless(whole)
    assert run.metrics == whole.metrics
    assert same_weights(weights(run), weights(whole))
    client = mlflow.MlflowClient(tracking)
    assert client.get_run(run_id).info.status == "FINISHED"
    for name in LEARNING:
        history = client.get_metric_history(run_id, name.format("roc_auc"))
        assert [m.step for m in history] == [1, 2], "each epoch stands there once"


def test_what_cannot_be_resumed_is_refused(market, tracking, few_plots):
    task = fk.open(market).task("Buys")
    with pytest.raises(TrainingError, match="no interrupted run of Market/binary_classification/Buys"):
        fk.train(task, tracking_uri=tracking, resume="latest")
    with pytest.raises(TrainingError, match="run 'abc' has no checkpoint"):
        fk.train(task, tracking_uri=tracking, resume="abc")
    run_id = interrupt(task, tracking)
    with pytest.raises(TrainingError, match=r"began with other settings \(channels: 8, now 16\)"):
        fk.train(task, tracking_uri=tracking, resume=run_id, channels=16)
    definition = {**TASKS["Buys"], "metric": "average_precision"}
    with pytest.raises(TrainingError, match=r"other settings \(task.metric\)"):
        fk.train(fk.open(market).task("Buys", definition), tracking_uri=tracking, resume=run_id)
    write_tables(market / "market.duckdb", {"sales": market_tables()["sales"].slice(1)})
    with pytest.raises(TrainingError, match=f"the tables changed since run '{run_id}' began"):
        fk.train(fk.open(market).task("Buys"), tracking_uri=tracking, resume=run_id)
    write_tables(market / "market.duckdb", market_tables())
    fk.train(fk.open(market).task("Buys"), tracking_uri=tracking, resume=run_id, **QUICK)
    with pytest.raises(TrainingError, match=f"run '{run_id}' is finished"):
        fk.train(task, tracking_uri=tracking, resume=run_id)
