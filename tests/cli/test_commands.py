"""Each command does its work and shows it: text for people, one JSON object for programs."""

import json
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

import foreknow as fk
from foreknow.cli import mlflow as mlflow_command
from foreknow.demo import hm
from foreknow.demo.hm import Size

TINY = Size(customers=300, articles=80, transactions=8000, departments=20)


def fits(text, width=80):
    return all(len(line.rstrip()) <= width for line in text.splitlines())


# inspect


def test_inspect_shows_tables_and_what_to_do_next(foreknow, toy, narrow):
    done = foreknow("inspect", toy / "toy.duckdb")
    assert done.status == 0
    assert "╭─ customers ─" in done.out
    assert "customer_id ──▶ customers (100% match)" in done.out
    assert "--write puts this into foreknow.yaml" in done.out
    assert fits(done.out)
    assert "reading customers" in done.err


def test_inspect_lists_every_column_with_the_reason(foreknow, toy, narrow):
    done = foreknow("inspect", toy / "toy.duckdb", "--columns")
    assert "list price" in done.out
    assert fits(done.out)


def test_inspect_as_json(foreknow, toy, tmp_path):
    done = foreknow("inspect", toy / "toy.duckdb", "--json", "--diagram", tmp_path / "d" / "schema.svg")
    found = done.json
    assert found["tables"]["customers"]["rows"] == 4
    assert found["tables"]["transactions"]["dangling"] == {"customer_id": 0.0, "article_id": 0.0}
    assert found["written"] is None
    assert done.err == ""
    assert (tmp_path / "d" / "schema.svg").read_text().startswith("<?xml")


def test_inspect_writes_a_project_that_works_wherever_it_is_put(foreknow, toy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = foreknow("inspect", "toy/toy.duckdb", "--output", "there/foreknow.yaml")
    assert done.status == 0
    assert "written: there/foreknow.yaml" in done.out
    assert set(fk.open("there").inspect().schema.tables) == {"customers", "articles", "transactions"}
    done = foreknow("inspect", "toy/toy.duckdb", "--output", "there/foreknow.yaml")
    assert done.status == 2
    assert foreknow("inspect", "toy/toy.duckdb", "-o", "there/foreknow.yaml", "--overwrite").status == 0


def write_seasons(folder):
    """Players, and what they did in a year: when in it that was known isn't told."""
    folder.mkdir()
    (folder / "players.csv").write_text("player_id,hand\n" + "".join(f"p{i:03d},{'LR'[i % 2]}\n" for i in range(60)))
    rows = [f"p{i % 60:03d},{2000 + i // 60},{i * 7 % 11}" for i in range(600)]
    (folder / "seasons.csv").write_text("player_id,year,goals\n" + "\n".join(rows) + "\n")


def test_inspect_asks_what_it_cannot_settle(foreknow, tmp_path, monkeypatch, narrow):
    monkeypatch.chdir(tmp_path)
    write_seasons(tmp_path / "data")
    done = foreknow("inspect", "data")
    assert "1 question for you" in done.out
    assert "1. seasons: When does a row become known?" in done.out
    assert 'columns: {known_at: {type: timestamp, sql: "make_date(year, 12, 31)"}}' in " ".join(done.out.split())
    assert fits(done.out)
    assert "question" not in foreknow("inspect", "data", "--yes").out
    asked = foreknow("inspect", "data", "--json").json["questions"]
    assert [(q["subject"], q["tables"], q["taken"]) for q in asked] == [("time", ["seasons"], 0)]


def test_inspect_writes_no_guess_unless_told_to(foreknow, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_seasons(tmp_path / "data")
    done = foreknow("inspect", "data", "-o", "open/foreknow.yaml")
    assert "1 question is left open in it" in done.out
    text = (tmp_path / "open/foreknow.yaml").read_text()
    assert "source: ../data" in text
    assert "# QUESTION (time): When does a row become known?" in text
    assert fk.open("open").schema["seasons"].time_column is None
    # Uncommenting the answers gives what --yes writes.
    answered = [line.replace("# ", "", 1) if "known_at" in line else line for line in text.splitlines()]
    (tmp_path / "open/foreknow.yaml").write_text("\n".join(answered))
    assert foreknow("inspect", "data", "-o", "best/foreknow.yaml", "--yes").status == 0
    assert "QUESTION" not in (tmp_path / "best/foreknow.yaml").read_text()
    assert fk.open("open").schema == fk.open("best").schema
    assert fk.open("best").schema["seasons"].time_column == "known_at"


@pytest.mark.parametrize("absolute", [False, True])
def test_a_written_project_names_its_source_from_where_it_stands(foreknow, tmp_path, monkeypatch, absolute):
    (tmp_path / "here").mkdir()
    write_seasons(tmp_path / "here" / "data")
    monkeypatch.chdir(tmp_path / "here")
    source = tmp_path / "here" / "data" if absolute else "data"
    assert foreknow("inspect", source, "--yes", "-o", tmp_path / "a" / "b" / "foreknow.yaml").status == 0
    assert "source: ../../here/data\n" in (tmp_path / "a" / "b" / "foreknow.yaml").read_text()
    assert set(fk.open(tmp_path / "a" / "b").schema.tables) == {"players", "seasons"}


def test_inspect_shows_the_evidence(foreknow, tmp_path, monkeypatch, narrow):
    monkeypatch.chdir(tmp_path)
    write_seasons(tmp_path / "data")
    done = foreknow("inspect", "data", "--why", "seasons", "--why", "players.hand")
    for part in ("seasons: key", "seasons: link of player_id", "seasons: time column", "players: type of hand"):
        assert part in done.out
    assert "100.00% of 600 values are in" in done.out
    assert "taken, but asked about" in done.out
    assert fits(done.out)
    done = foreknow("inspect", "data", "--why", "seasons.goal")
    assert done.status == 2
    assert "did you mean 'goals'?" in done.err
    assert "there is no such table" in foreknow("inspect", "data", "--why", "season").err
    assert foreknow("inspect", "data", "--why", "seasons", "--write").status == 2


def test_json_carries_all_the_evidence(foreknow, toy):
    rankings = foreknow("inspect", toy / "toy.duckdb", "--json").json["rankings"]
    about = {(r["subject"], r["table"], *r["columns"]) for r in rankings}
    assert {("key", "customers"), ("link", "transactions", "customer_id"), ("time", "transactions")} <= about
    for r in rankings:
        for p in r["proposals"]:
            assert 0 <= p["confidence"] <= 1
            assert p["reasons"]


# task, train


def test_task_previews_the_splits(foreknow, project, narrow):
    done = foreknow("task", "Buys")
    assert done.status == 0
    assert "Market/binary_classification/Buys, entity customers, metric roc_auc" in done.out
    assert "2022-04-11" in done.out
    assert fits(done.out)
    found = foreknow("task", "Buys", "--json").json
    assert [s["split"] for s in found["splits"]] == ["train", "validation", "test"]
    assert found["experiment"] == "Market/binary_classification/Buys"
    assert {"name", "severity", "count"} <= set(found["findings"][0])


def test_train_shows_epochs_scoreboard_and_what_to_do_next(foreknow, project, narrow):
    done = foreknow("train", "Buys", "--register", "buys", "--alias", "champion")
    assert done.status == 0
    assert "metric: roc_auc" in done.err
    assert "epoch  train_loss   val_loss  train_metric  val_metric  seconds" in done.err
    assert "best so far" in done.err
    assert "Fontconfig" not in done.err
    assert "Downloading" not in done.err
    assert "majority" in done.out
    assert "graph network" in done.out
    assert "registered: models:/buys/1, alias champion" in done.out
    assert "next: foreknow predict --run" in done.out
    assert fits("\n".join(line for line in done.out.splitlines() if not line.startswith("next: ")))
    listed = foreknow("models", "list")
    assert "champion" in listed.out
    assert fits(listed.out)


def test_train_as_json(foreknow, project):
    done = foreknow("train", "Buys", "--json", "--epochs", "1", "--scoreboard", "off")
    found = done.json
    assert {"run_id", "experiment", "status", "metrics", "scoreboard", "seconds"} <= set(found)
    assert found["status"] == "FINISHED"
    assert set(found["metrics"]) == {"val", "test"}
    assert [m["model"] for m in found["scoreboard"]] == ["graph network"]
    assert done.err == ""


def test_options_and_settings_reach_the_run(foreknow, project):
    options = "--lr 0.01 --batch-size 8 --num-neighbors 2,-1 --seed 3 --set channels=4 --set clip_norm=null"
    run_id = foreknow("train", "Buys", "--json", "--scoreboard", "off", *options.split()).json["run_id"]
    config = json.loads((fk.open(".").workspace / "runs" / run_id / "run.json").read_text())["config"]
    assert (config["lr"], config["batch_size"], config["num_neighbors"]) == (0.01, 8, [2, -1])
    assert (config["seed"], config["channels"], config["clip_norm"]) == (3, 4, None)
    assert config["epochs"] == 2, "from the project file"


# predict, evaluate


def test_predict_shows_whole_predictions_and_no_lineage(foreknow, project, narrow):
    done = foreknow("predict", "--run", project, "--into", "PREDICTIONS_BUYS")
    assert done.status == 0
    assert "PREDICTIONS_BUYS: the first of 15 rows" in done.out
    assert "customer_id" in done.out
    assert "2022-12-07" in done.out
    assert "predicted_labels" in done.out
    assert "probs" in done.out
    assert "predicted_at" not in done.out
    assert "written: table PREDICTIONS_BUYS in" in done.out
    assert "scored against the labels that are known: roc_auc" in done.out
    done = foreknow("predict", "--run", project, "--into", "PREDICTIONS_BUYS")
    assert done.status == 2
    assert "exists already" in done.err


def test_predict_as_json(foreknow, project):
    done = foreknow("predict", "--run", project, "--into", "P", "--at", "2022-12-07", "--json", "--embeddings")
    found = done.json
    assert set(found) == {"tables", "rows", "columns", "head", "metrics", "findings"}
    assert set(found["tables"]) == {"P", "PREDICTIONS_EMBEDDINGS_CUSTOMER_ID_P"}
    assert found["head"][0]["seed_time"] == "2022-12-07T00:00:00"
    assert found["metrics"] == {}
    assert done.err == ""


def test_evaluate(foreknow, project):
    done = foreknow("evaluate", "--run", project, "--split", "validation")
    assert done.status == 0
    assert "roc_auc" in done.out
    found = foreknow("evaluate", "--run", project, "--split", "validation", "--json").json
    assert found["split"] == "validation"
    assert 0 <= found["metrics"]["roc_auc"] <= 1


# models


def test_models(foreknow, project):
    assert "no model is registered yet" in foreknow("models", "list").out
    assert foreknow("models", "list", "--json").json == {"models": []}
    done = foreknow("models", "register", "buys", "--run", project, "--alias", "champion")
    assert done.out == "registered: models:/buys/1, alias champion\n"
    registered = foreknow("models", "register", "buys", "--run", project, "--json").json
    assert registered == {"model": "buys", "version": "2", "aliases": [], "run_id": project}
    found = foreknow("models", "list", "--json").json["models"]
    assert [(m["version"], m["aliases"]) for m in found] == [("2", []), ("1", ["champion"])]
    assert project in foreknow("models", "list").out, "ids can be copied"
    done = foreknow("predict", "--model", "buys@champion", "--into", "P", "--json")
    assert done.json["head"][0]["model_version"] == "buys/1"


# hm, doctor, mlflow, demo


def test_hm(foreknow, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(hm.SIZES, "tiny", TINY)
    done = foreknow("hm", "generate", "shop.duckdb", "--size", "tiny")
    assert done.out.startswith("written: shop.duckdb (300 customers, 80 articles, 8,")
    assert "next: foreknow inspect shop.duckdb" in done.out
    found = foreknow("hm", "generate", "shop.duckdb", "--size", "tiny", "--overwrite", "--json").json
    assert found["rows"]["customers"] == 300
    with duckdb.connect("shop.duckdb", read_only=True) as connection:
        for table, file in (("customers",) * 2, ("articles",) * 2, ("transactions", "transactions_train")):
            connection.execute(f"COPY {table} TO '{file}.csv'")
    found = foreknow("hm", "import", ".", "real.duckdb", "--json").json
    assert found["path"] == "real.duckdb"
    assert found["rows"]["customers"] == len(Path("customers.csv").read_text().splitlines()) - 1


def test_doctor(foreknow, monkeypatch):
    done = foreknow("doctor")
    assert done.status == 0
    assert "ok  sampler" in done.out
    assert "ready: foreknow demo" in done.out
    monkeypatch.setattr("foreknow.cli.doctor.PACKAGES", ("foreknow", "no-such-package"))
    done = foreknow("doctor")
    assert done.status == 1
    assert "NO  no-such-package  missing" in done.out
    assert "Hint: pip install foreknow" in done.out
    done = foreknow("doctor", "--json")
    assert done.status == 1
    assert not done.json["ok"]
    assert {c["check"]: c["ok"] for c in done.json["checks"]}["no-such-package"] == "NO"


def test_mlflow_shows_the_page_until_ctrl_c(foreknow, project, fake_server, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(mlflow_command.time, "sleep", interrupt)
    done = foreknow("mlflow")
    assert done.status == 0
    (server,) = fake_server
    assert done.out == f"{server.url}/?workflowType=machine_learning\n"
    assert server.calls == ["start", "wait", "stop"]


@pytest.fixture
def tiny_demo(tmp_path, monkeypatch, fake_server):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(hm.SIZES, "tiny", TINY)


def test_demo(foreknow, tiny_demo, fake_server, narrow):
    done = foreknow("demo", "--size", "tiny", "--epochs", "1", "--no-wait")
    assert done.status == 0, done.err
    assert "╭─ customers ─" in done.out
    assert "The task: of the customers who bought something" in done.err
    assert "Scoreboard" in done.out
    assert "PREDICTIONS_CHURN: the first of" in done.out
    assert "project file: foreknow-demo/churn/foreknow.yaml" in done.out
    shown = [line for line in done.out.splitlines() if not line.startswith(("  foreknow", "predictions:"))]
    assert fits("\n".join(shown))
    commands = [line.strip() for line in done.out.splitlines() if line.startswith("  foreknow ")]
    assert len(commands) == 3
    assert foreknow(*commands[0].split()[1:]).status == 0
    assert foreknow(*commands[1].split()[1:]).status == 0
    assert fake_server[0].calls[-1] == "stop"


def test_demo_as_json(foreknow, tiny_demo):
    done = foreknow("demo", "--size", "tiny", "--epochs", "1", "--json")
    found = done.json
    assert found["experiment"] == "HM_Dataset/binary_classification/Churn"
    assert set(found["predictions"]) == {"PREDICTIONS_CHURN"}
    assert done.err == ""


def test_the_module_runs_as_a_program(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "foreknow", "train", "X", "--json"], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["type"] == "ConfigError"
