"""The tracker: what a run's page shows, what a loop pays, and what happens while MLflow is away."""

import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import mlflow
import pandas as pd
import psutil
import pytest

import foreknow.pyfunc
from foreknow.errors import ConfigError, TrackingError, UnknownModelError
from foreknow.track import mlflow as module
from foreknow.track.connect import connect
from foreknow.track.mlflow import MLflowTracker, check_reachable, deliver_unsent, run_url
from foreknow.track.registry import Registry
from foreknow.track.server import this_process

pytestmark = pytest.mark.xdist_group("mlflow")

EXPERIMENT = "Shop/binary_classification/Churn"
CODE = foreknow.pyfunc.__file__
FRAME = pd.DataFrame({"customer_id": ["a", "b"], "churn": [True, False]})


def wait_until(fact, timeout=20):
    end = time.monotonic() + timeout
    while not fact():
        assert time.monotonic() < end, "it didn't happen"
        time.sleep(0.05)


@pytest.fixture
def bundle(tmp_path):
    """Files that stand for a bundle."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "bundle.json").write_text("{}")
    return folder


def log_model(tracker, bundle):
    return tracker.log_model(
        bundle,
        Path(CODE),
        inputs={"customer_id": "string", "at": "datetime"},
        outputs={"customer_id": "string", "probs": "array:double"},
        optional=["at"],
        metrics=["test_metric_roc_auc", "not logged"],
        step=3,
    )


def steps(client, run_id, name):
    return [(m.step, m.value) for m in client.get_metric_history(run_id, name)]


# A run's page


def test_a_run_over_http(server, tmp_path, bundle):
    tracker = MLflowTracker(server.url, EXPERIMENT, tags={"foreknow.seed": "7"}, description="why", server=server)
    client = mlflow.MlflowClient(server.url)
    run = client.get_run(tracker.run_id)
    assert run.info.status == "RUNNING"
    assert run.info.run_name == tracker.run_name
    assert re.fullmatch(r"[a-z]+-[a-z]+-\d+", tracker.run_name), "MLflow's own kind of name"
    experiment = client.get_experiment(tracker.experiment_id)
    assert experiment.name == EXPERIMENT
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    assert run.data.tags["foreknow.seed"] == "7"
    assert run.data.tags["mlflow.note.content"] == "why"
    assert run.data.tags["mlflow.source.name"] == "foreknow"
    assert tracker.url == run_url(server.url, experiment.experiment_id, tracker.run_id)
    assert tracker.url.endswith("?workflowType=machine_learning")

    for epoch in (1, 2, 3):
        tracker.log_metrics({"train_loss": 1 / epoch, "val_loss": float("nan")}, step=epoch)
    wait_until(lambda: len(steps(client, tracker.run_id, "train_loss")) == 3)
    assert steps(client, tracker.run_id, "train_loss") == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert steps(client, tracker.run_id, "val_loss") == [], "values that are not finite are left out"
    assert client.get_run(tracker.run_id).info.status == "RUNNING"

    tracker.log_metrics({"test_metric_roc_auc": 0.75}, step=3)
    tracker.log_params({"lr": 0.1, "task": {"name": "Churn", "known": []}, "long": "x" * 9000})
    tracker.set_tags({"foreknow.stopped": "all epochs done"})
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "roc.png").write_bytes(b"png")
    tracker.log_artifact(tmp_path / "a.json")
    tracker.log_artifact(tmp_path / "plots", "plots")
    tracker.log_dataset(FRAME, name="Shop.Churn.train", source="shop.duckdb", target="churn", context="training")
    uri = log_model(tracker, bundle)
    tracker.finish("FINISHED")
    tracker.finish("FAILED")

    run = client.get_run(tracker.run_id)
    assert run.info.status == "FINISHED", "the first word counts"
    assert run.info.end_time
    assert run.data.params["task.name"] == "Churn"
    assert len(run.data.params["long"]) == 6000
    assert run.data.tags["foreknow.stopped"] == "all epochs done"
    assert {f.path for f in client.list_artifacts(run.info.run_id)} == {"a.json", "plots"}
    (dataset,) = run.inputs.dataset_inputs
    assert (dataset.dataset.name, dataset.tags[0].value) == ("Shop.Churn.train", "training")
    assert {k.partition("/")[0] for k in run.data.metrics} == {"train_loss", "test_metric_roc_auc", "system"}
    assert [o.model_id for o in run.outputs.model_outputs] == [uri.removeprefix("models:/")]
    model = client.get_logged_model(uri.removeprefix("models:/"))
    assert (model.name, str(model.status), model.experiment_id) == ("model", "READY", experiment.experiment_id)
    assert {m.key: m.value for m in model.metrics} == {"test_metric_roc_auc": 0.75}
    assert steps(client, tracker.run_id, "test_metric_roc_auc") == [(3, 0.75)]
    assert tracker.missed == ()


def test_the_model_is_code_with_a_signature(server, bundle):
    tracker = MLflowTracker(server.url, EXPERIMENT, server=server)
    uri = log_model(tracker, bundle)
    tracker.finish("FINISHED")
    with module.tracking_uri(mlflow, server.url):
        info = mlflow.models.get_model_info(uri)
    inputs = {c.name: (str(c.type), c.required) for c in info.signature.inputs}
    assert inputs == {"customer_id": ("DataType.string", True), "at": ("DataType.datetime", False)}
    assert info.signature.outputs.input_names() == ["customer_id", "probs"]
    flavor = info.flavors["python_function"]
    assert flavor["loader_module"] == "mlflow.pyfunc.loaders.code_model"
    assert "python_model" not in flavor, "nothing is pickled"


def test_logging_leaves_the_callers_mlflow_as_it_was(server, tmp_path, bundle):
    """A notebook that uses MLflow itself must not find its runs in our experiment."""
    before = mlflow.get_tracking_uri(), os.environ.get("MLFLOW_EXPERIMENT_ID")
    tracker = MLflowTracker(server.url, EXPERIMENT, server=server)
    log_model(tracker, bundle)
    tracker.finish("FINISHED")
    assert (mlflow.get_tracking_uri(), os.environ.get("MLFLOW_EXPERIMENT_ID")) == before
    assert mlflow.active_run() is None


def test_a_failure_is_told(tracking):
    tracker = MLflowTracker(tracking, EXPERIMENT)
    tracker.note_failure("TaskError: no rows")
    tracker.finish("FAILED")
    run = mlflow.MlflowClient(tracking).get_run(tracker.run_id)
    assert (run.info.status, run.data.tags["foreknow.error"]) == ("FAILED", "TaskError: no rows")


def test_a_store_in_a_file_keeps_artifacts_beside_it(tracking, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    tracker = MLflowTracker(tracking, EXPERIMENT)
    (tmp_path / "a.json").write_text("{}")
    tracker.log_artifact(tmp_path / "a.json")
    tracker.finish("FINISHED")
    assert tracker.url is None
    assert list((tmp_path / "mlflow.artifacts").rglob("a.json"))
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_deleted_experiment_is_named(tracking):
    client = mlflow.MlflowClient(tracking)
    client.delete_experiment(client.create_experiment(EXPERIMENT))
    with pytest.raises(TrackingError, match=f"the MLflow experiment '{EXPERIMENT}' is deleted"):
        MLflowTracker(tracking, EXPERIMENT)


def test_going_on_with_a_run(tracking):
    first = MLflowTracker(tracking, EXPERIMENT)
    first.log_metrics({"val_loss": 2.0}, step=1)
    first.finish("KILLED")
    second = MLflowTracker(tracking, EXPERIMENT, run_id=first.run_id)
    client = mlflow.MlflowClient(tracking)
    assert client.get_run(first.run_id).info.status == "RUNNING"
    assert second.run_name == first.run_name
    second.log_metrics({"val_loss": 2.0}, step=1)
    second.log_metrics({"val_loss": 1.0}, step=2)
    second.finish("FINISHED")
    assert steps(client, first.run_id, "val_loss") == [(1, 2.0), (2, 1.0)], "what was recorded is not doubled"
    with pytest.raises(TrackingError, match="A resumed run must be on the server it began on"):
        MLflowTracker(tracking, EXPERIMENT, run_id="unknown")


# What a loop pays


def test_logging_metrics_only_queues_them(tracking):
    """With a server that never answers, the caller isn't held up; all arrives when it does."""
    tracker = MLflowTracker(tracking, EXPERIMENT, system_metrics=False)
    gate, batches, real = threading.Event(), [], tracker._client.log_batch

    def blocked(run_id, **values):
        gate.wait()
        batches.append(len(values["metrics"]))
        real(run_id, **values)

    tracker._client.log_batch = blocked
    for step in range(1, 2501):
        tracker.log_metrics({"train_loss": 1 / step}, step=step)
    assert batches == []
    gate.set()
    tracker.finish("FINISHED")
    assert sum(batches) == 2500
    assert max(batches) == module.BATCH
    assert len(mlflow.MlflowClient(tracking).get_metric_history(tracker.run_id, "train_loss")) == 2500


# While MLflow is away


def test_an_address_nobody_listens_at_is_refused_at_once(tracking):
    with pytest.raises(TrackingError, match=r"http://127.0.0.1:9 can't be reached: Connection refused") as caught:
        MLflowTracker("http://me:secret@127.0.0.1:9", EXPERIMENT)
    assert "secret" not in str(caught.value)
    assert "is MLFLOW_TRACKING_URI right" in str(caught.value)
    with pytest.raises(TrackingError, match="can't be reached"):
        Registry("http://127.0.0.1:9")
    check_reachable(tracking)


def test_a_short_outage_is_bridged(proxy, server, caplog):
    tracker = MLflowTracker(proxy.url, EXPERIMENT, system_metrics=False)
    client = mlflow.MlflowClient(server.url)
    tracker.log_metrics({"val_loss": 3.0}, step=1)
    wait_until(lambda: steps(client, tracker.run_id, "val_loss"))
    proxy.down()
    tracker.log_metrics({"val_loss": 2.0}, step=2)
    wait_until(lambda: "takes no metrics (Connection refused); they are kept" in caplog.text)
    tracker.log_metrics({"val_loss": 1.0}, step=3)
    proxy.up()
    wait_until(lambda: len(steps(client, tracker.run_id, "val_loss")) == 3)
    tracker.finish("FINISHED")
    assert tracker.missed == ()
    assert client.get_run(tracker.run_id).info.status == "FINISHED"
    assert steps(client, tracker.run_id, "val_loss") == [(1, 3.0), (2, 2.0), (3, 1.0)]


def test_what_could_not_be_sent_is_kept_and_sent_later(proxy, server, tmp_path, bundle, caplog):
    runs = tmp_path / "runs"
    tracker = MLflowTracker(proxy.url, EXPERIMENT, system_metrics=False)
    folder = runs / tracker.run_id
    folder.mkdir(parents=True)
    tracker.keep_unsent_in(folder / "unsent.json")
    proxy.down()
    started = time.monotonic()
    tracker.log_metrics({"val_loss": 2.0, "test_metric_roc_auc": 0.5}, step=1)
    tracker.log_params({"lr": 0.1})
    tracker.set_tags({"foreknow.stopped": "all epochs done"})
    (folder / "scoreboard.json").write_text("{}")
    tracker.log_artifact(folder / "scoreboard.json")
    tracker.log_dataset(FRAME, name="Shop.Churn.train", source="shop.duckdb", target="churn", context="training")
    assert log_model(tracker, bundle) is None
    tracker.finish("FINISHED")
    assert time.monotonic() - started < 20, "no call waits for a server that is away"
    missed = ("parameters", "tags", "scoreboard.json", "data set", "model", "final status", "2 metrics")
    assert tracker.missed == missed
    assert "didn't take the model (Connection refused); it is kept" in caplog.text
    client = mlflow.MlflowClient(server.url)
    assert client.get_run(tracker.run_id).info.status == "RUNNING"

    assert deliver_unsent(runs, "sqlite:///" + str(tmp_path / "other.db")) == [], "another server's business"
    assert deliver_unsent(runs, server.url) == [tracker.run_id]
    assert not (folder / "unsent.json").exists()
    run = client.get_run(tracker.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"lr": "0.1"}
    assert run.data.metrics == {"val_loss": 2.0, "test_metric_roc_auc": 0.5}
    assert run.data.tags["foreknow.stopped"] == "all epochs done"
    assert [f.path for f in client.list_artifacts(run.info.run_id)] == ["scoreboard.json"]
    assert len(run.inputs.dataset_inputs) == len(run.outputs.model_outputs) == 1
    assert deliver_unsent(runs, server.url) == []
    assert Registry(server.url).register_run("delivered", tracker.run_id).version == "1"


def test_a_damaged_file_of_unsent_things_stops_nothing(tmp_path, tracking):
    for name, text in (("a", "{"), ("b", '{"format": 99}'), ("c", '{"format": 1}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "unsent.json").write_text(text)
    assert deliver_unsent(tmp_path, tracking) == []


def test_without_a_file_to_keep_it_in_the_loss_is_told(proxy, caplog):
    tracker = MLflowTracker(proxy.url, EXPERIMENT, system_metrics=False)
    proxy.down()
    tracker.log_metrics({"val_loss": 2.0}, step=1)
    tracker.finish("FINISHED")
    assert "final status, 1 metrics could not be sent to MLflow" in caplog.text


KILLED = """
import os, signal, sys
from pathlib import Path
from foreknow.track.mlflow import MLflowTracker
from foreknow.track.server import MLflowServer
server = MLflowServer(Path(sys.argv[1]), port=5500).start().wait()
tracker = MLflowTracker(server.url, "a/b/c", server=server)
tracker.log_metrics({"val_loss": 1.0}, step=1)
while tracker._queue.qsize() or tracker._unsent:
    pass
print(tracker.run_id, server.process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_a_killed_run_and_no_server(tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    run_id, pid = done.stdout.split()
    wait_until(lambda: not (tmp_path / "mlflow.json").exists(), timeout=40)
    wait_until(lambda: not psutil.pid_exists(int(pid)) or psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE)
    run = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db").get_run(run_id)
    assert run.info.status == "KILLED"
    assert run.info.end_time
    assert run.data.metrics["val_loss"] == 1.0


def test_a_run_whose_process_and_guard_are_gone_is_closed_when_the_server_is_next_used(server, tmp_path):
    client = mlflow.MlflowClient(server.url)
    experiment = client.create_experiment("power cut")
    lost, alive = (client.create_run(experiment).info.run_id for _ in range(2))
    for run_id, process in ((lost, {"pid": 2**22 + 1, "started": 0.0}), (alive, this_process())):
        (tmp_path / "runs" / run_id).mkdir(parents=True)
        (tmp_path / "runs" / run_id / "run.json").write_text(json.dumps({"process": process}))
    assert connect(tmp_path, server.url) == server.url
    assert client.get_run(lost).info.status == "KILLED"
    assert client.get_run(alive).info.status == "RUNNING"


# The registry


@pytest.fixture
def runs(tracking, bundle):
    """Two finished runs with a model each."""
    made = []
    for _ in range(2):
        tracker = MLflowTracker(tracking, EXPERIMENT, description="churn of customers", tags={"foreknow.seed": "0"})
        log_model(tracker, bundle)
        tracker.finish("FINISHED")
        made.append(tracker.run_id)
    return made


def test_versions_aliases_description_and_tags(tracking, runs):
    registry = Registry(tracking)
    first = registry.register_run("churn", runs[0], alias="champion")
    second = registry.register_run("churn", runs[1], alias="champion")
    registry.register_run("also o'churn", runs[1])
    assert (first.uri, second.uri) == ("models:/churn/1", "models:/churn/2")
    listed = [(v.name, v.version, v.aliases, v.run_id) for v in registry.list()]
    assert listed == [
        ("also o'churn", "1", (), runs[1]),
        ("churn", "2", ("champion",), runs[1]),
        ("churn", "1", (), runs[0]),
    ]
    for reference in ("churn@champion", "models:/churn@champion", "churn/2", "models:/churn/2"):
        assert registry.resolve(reference).run_id == runs[1]
    assert registry.resolve("churn/1").run_id == runs[0]
    assert registry.resolve("churn/1").description == "churn of customers"
    client = mlflow.MlflowClient(tracking, registry_uri=tracking)
    assert client.get_model_version("churn", "1").tags == {"foreknow.seed": "0"}
    (output,) = client.get_run(runs[1]).outputs.model_outputs
    linked = json.loads(client.get_logged_model(output.model_id).tags["mlflow.modelVersions"])
    assert linked == [{"name": "churn", "version": 2}, {"name": "also o'churn", "version": 1}]
    assert second.url("http://x") == "http://x/#/models/churn/versions/2?workflowType=machine_learning"


def test_unknown_models_are_answered_with_what_there_is(tracking, runs):
    registry = Registry(tracking)
    with pytest.raises(UnknownModelError, match="no model is registered yet"):
        registry.resolve("churn@champion")
    registry.register_run("churn", runs[0], alias="champion")
    with pytest.raises(UnknownModelError, match=r"there is no model 'chrun@champion'\nHint: did you mean 'churn'\?"):
        registry.resolve("chrun@champion")
    with pytest.raises(UnknownModelError, match="versions of 'churn': 1 @champion"):
        registry.resolve("churn/7")
    with pytest.raises(UnknownModelError, match="versions of 'churn': 1 @champion"):
        registry.resolve("churn@challenger")
    for reference in ("churn", "churn/first", "/1", ""):
        with pytest.raises(UnknownModelError, match="names no model version"):
            registry.resolve(reference)
    with pytest.raises(UnknownModelError, match="there is no run 'nope'"):
        registry.register_run("churn", "nope")


def test_a_run_without_a_model_says_so(tracking, tmp_path):
    tracker = MLflowTracker(tracking, EXPERIMENT)
    tracker.finish("KILLED")
    with pytest.raises(UnknownModelError, match="logged no model; its status is KILLED"):
        Registry(tracking).download_bundle(run_id=tracker.run_id, into=tmp_path / "out")


@pytest.mark.parametrize("name", ["", " churn", "a/b", "a:b", "a@b"])
def test_names_the_registry_would_refuse(tracking, name):
    with pytest.raises(ConfigError, match="can't be the name of a registered model"):
        Registry(tracking).register(name, "models:/x", run_id="x")


@pytest.mark.parametrize("alias", ["", "a b", "latest", "v2", "é"])
def test_aliases_the_registry_would_refuse(tracking, alias):
    with pytest.raises(ConfigError, match="can't be an alias"):
        Registry(tracking).register("churn", "models:/x", run_id="x", alias=alias)


# Quiet


def test_importing_mlflow_turns_telemetry_and_progress_bars_off(monkeypatch):
    for name in ("MLFLOW_DISABLE_TELEMETRY", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"):
        monkeypatch.delenv(name, raising=False)
    module.import_mlflow()
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] == "false"
    assert logging.getLogger("mlflow").level == logging.ERROR


@pytest.mark.parametrize(
    ("proxy_set", "before", "after"),
    [
        ("", None, None),
        ("http://proxy:3128", None, "127.0.0.1,localhost"),
        ("http://proxy:3128", "intra", "intra,127.0.0.1,localhost"),
        ("http://proxy:3128", "*", "*"),
        ("http://proxy:3128", "127.0.0.1", "127.0.0.1"),
    ],
)
def test_a_proxy_is_not_asked_for_this_machine(monkeypatch, proxy_set, before, after):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", proxy_set)
    monkeypatch.setenv("no_proxy", before or "")
    module.import_mlflow()
    assert (os.environ.get("no_proxy") or None) == after
    monkeypatch.delenv("NO_PROXY", raising=False)
