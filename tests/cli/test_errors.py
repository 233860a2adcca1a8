"""Mistakes: a message that helps, on stderr; the right exit status; with --json an object on stdout."""

import json

import pytest

from foreknow import cli, workflow
from foreknow.errors import TrackingError

MISTAKES = [
    ("train", "UsageError", "Missing argument"),
    ("nonsense", "UsageError", "No such command 'nonsense'"),
    ("train Buys --epoch 3", "UsageError", "No such option: --epoch"),
    ("train Buys --epochs x", "UsageError", "Invalid value for '--epochs'"),
    ("train Buys --epochs 0", "ConfigError", "epochs is 0; it must be at least 1"),
    ("train Buys --set chanels=3", "ConfigError", "did you mean 'channels'?"),
    ("train Buys --set channels", "ConfigError", "write NAME=VALUE"),
    ("train Buys --set channels=[", "ConfigError", "sets no value that can be read"),
    ("train Buys --num-neighbors a,b", "ConfigError", "write e.g. 128,64"),
    ("train Buys --register a/b", "ConfigError", "'a/b' can't be the name of a registered model"),
    ("train Buys --alias champion", "ConfigError", "name one with --register"),
    ("train Buys --device tpu", "TrainingError", "there is no device 'tpu'"),
    ("train Buys --resume latest", "TrainingError", "no interrupted run of Market/binary_classification/Buys"),
    ("train Buys --resume nope", "TrainingError", "run 'nope' has no checkpoint"),
    ("train Buys --resume nope --epochs 3", "ConfigError", "a resumed run goes on with its own parameters"),
    ("train Byus", "ConfigError", "did you mean 'Buys'?"),
    ("train Buys --project nowhere", "ConfigError", "there is nothing at 'nowhere'"),
    ("train Buys --project market.duckdb", "ConfigError", "'market.duckdb' is no project file"),
    ("task Buys --project .foreknow", "ConfigError", "there is no foreknow.yaml in '.foreknow'"),
    ("inspect nowhere.duckdb", "ConfigError", "there is nothing at 'nowhere.duckdb'"),
    ("inspect foreknow.yaml --write", "ConfigError", "'foreknow.yaml' exists already and is left as it is"),
    ("inspect --diagram schema.png", "ConfigError", "diagrams are SVG"),
    ("evaluate", "PredictionError", "give --run RUN_ID or --model NAME@ALIAS"),
    ("evaluate --run nope", "UnknownModelError", "there is no run 'nope'"),
    ("predict --run nope", "UsageError", "Missing option '--into'"),
    ("predict --run nope --into P", "UnknownModelError", "there is no run 'nope'"),
    ("predict --model buys@champion --into P", "UnknownModelError", "no model is registered yet"),
    ("predict --model buys --into P", "UnknownModelError", "write NAME/VERSION or NAME@ALIAS"),
    ("predict --run nope --into sales", "SinkError", "sales (144 rows) exists already"),
    ("predict --run nope --into P --at soon", "PredictionError", "'soon' is no time"),
    ("predict --run nope --into P --to out.csv", "SinkError", "neither a DuckDB file nor a folder"),
    ("predict --run nope --into P --batch-size 0", "UsageError", "Invalid value for '--batch-size'"),
    ("models register", "UsageError", "Missing argument"),
    ("models register buys --run nope", "UnknownModelError", "there is no run 'nope'"),
    ("models register b/c --run nope", "ConfigError", "can't be the name of a registered model"),
    ("hm generate market.duckdb", "SinkError", "choose another path, or use --overwrite"),
    ("hm generate x.duckdb --size huge", "ConfigError", "there is no size 'huge'"),
    ("hm import nowhere", "SourceError", "'nowhere' doesn't hold the H&M data"),
    ("demo chrun", "ConfigError", "there is no demo 'chrun'"),
    ("demo --size huge", "ConfigError", "there is no size 'huge'"),
    ("demo --epochs 0", "ConfigError", "epochs is 0"),
    ("demo --dir foreknow.yaml", "ConfigError", "'foreknow.yaml' is no folder"),
]


@pytest.mark.parametrize(("line", "kind", "message"), MISTAKES, ids=[line for line, _, _ in MISTAKES])
def test_a_mistake_is_explained(line, kind, message, foreknow, project):
    done = foreknow(*line.split())
    assert done.status == 2
    assert done.out == ""
    assert message in " ".join(done.err.replace("│", " ").split())
    assert "Traceback" not in done.err
    done = foreknow(*line.split(), "--json")
    assert done.status == 2
    error = done.json["error"]
    assert error["type"] == kind
    assert message in error["message"]


def test_findings_come_with_the_error(foreknow, project):
    error = foreknow("train", "Buys", "--set", "a=1", "--set", "lr=-1", "--json").json["error"]
    assert error["findings"][0]["message"] == "unknown parameter 'a'"
    assert set(error["findings"][0]) == {"name", "message", "severity", "table", "column", "count", "hint"}


def test_without_a_project_file_that_is_what_is_said(foreknow, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = foreknow("train", "Churn")
    assert done.status == 2
    assert "there is no foreknow.yaml in the working directory" in done.err
    assert "foreknow inspect SOURCE --write" in done.err


def test_what_the_user_cannot_mend_is_1(foreknow, project, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    done = foreknow("train", "Buys", "--json")
    assert done.status == 1
    assert done.json["error"]["type"] == "TrackingError"
    assert "Connection refused" in done.json["error"]["message"]


def test_a_bug_shows_where_and_asks_to_be_reported(foreknow, project, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(workflow, "prepare", broken)
    done = foreknow("task", "Buys", "--json")
    assert done.status == 1
    assert "Traceback" in done.err
    assert "This is a bug in foreknow" in done.err
    assert done.json["error"] == {"type": "ZeroDivisionError", "message": "division by zero", "findings": []}


def test_ctrl_c_says_how_to_go_on(foreknow, project, monkeypatch):
    def interrupted(bound, config, *, reporter, **_):
        reporter.num_epochs = 1
        raise KeyboardInterrupt

    monkeypatch.setattr(workflow, "train", interrupted)
    done = foreknow("train", "Buys", "--project", "foreknow.yaml")
    assert done.status == 130
    assert done.out == ""
    assert "go on with: foreknow train Buys --resume latest --project foreknow.yaml" in done.err
    assert "interrupted" in done.err
    assert foreknow("train", "Buys", "--json").json["error"]["type"] == "Interrupted"


def test_a_registration_that_fails_is_told_after_the_training(foreknow, project, monkeypatch):
    def unregistered(*_, **__):
        raise TrackingError("its model is not registered", hint="foreknow models register a --run b")

    monkeypatch.setattr(workflow, "train", unregistered)
    done = foreknow("train", "Buys", "--register", "a")
    assert done.status == 1
    assert "Hint: foreknow models register a --run b" in done.err


def test_the_program_exits_with_the_status(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["foreknow", "nonsense", "--json"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2
    assert json.loads(capsys.readouterr().out)["error"]["type"] == "UsageError"
