"""The audit stands before every training: errors stop it, warnings go along, what is allowed passes."""

import json

import duckdb
import mlflow
import pytest
import yaml

import foreknow as fk
from foreknow.errors import ConfigError, TaskError
from foreknow.workflow import prepare

LEAK = "CREATE TABLE answers AS SELECT customer_id, hash(customer_id) % 2 = 0 AS label, DATE '2022-04-11' AS seed_time "
LEAK += "FROM customers WHERE joined <= DATE '2022-04-11';"


@pytest.fixture
def leaky(market):
    """The market with a task table among its tables."""
    with duckdb.connect(str(market / "market.duckdb")) as connection:
        connection.execute(LEAK)
        connection.execute("CREATE TABLE later AS SELECT * REPLACE (DATE '2022-10-08' AS seed_time) FROM answers")
    file = market / "foreknow.yaml"
    project = yaml.safe_load(file.read_text())
    project["tables"]["answers"] = {
        "links": {"customer_id": "customers"},
        "columns": {"label": "boolean", "seed_time": "timestamp"},
    }
    project["tasks"]["Buys"]["tables"] = {"train": "answers", "validation": "later"}
    file.write_text(yaml.safe_dump(project))
    return market


def test_an_error_stops_the_training_before_anything_is_built(leaky, tracking):
    with pytest.raises(TaskError, match=r"--allow label-in-schema\).*table 'answers', column 'label'"):
        fk.train(fk.open(leaky).task("Buys"), tracking_uri=tracking)
    assert not (leaky / ".foreknow" / "graphs").exists()
    assert mlflow.MlflowClient(tracking_uri=tracking).search_experiments(filter_string="name LIKE 'Market%'") == []


def test_what_is_allowed_passes_and_is_kept_in_mlflow(leaky, tracking, few_plots):
    run = fk.train(
        fk.open(leaky).task("Buys"), tracking_uri=tracking, allow=["label-in-schema:answers.label"], epochs=1
    )
    report = json.loads((run.folder / "audit.json").read_text())
    assert [f["name"] for f in report["allowed"]] == ["label-in-schema"]
    assert report["allowed"][0]["severity"] == "error"
    client = mlflow.MlflowClient(tracking_uri=tracking)
    logged = client.get_run(run.run_id)
    assert logged.data.tags["foreknow.audit"] == report["summary"]
    assert "1 allowed" in report["summary"]
    assert f"Audit: {report['summary']}." in logged.data.tags["mlflow.note.content"]
    assert "audit.json" in {a.path for a in client.list_artifacts(run.run_id)}


def test_the_project_file_may_allow_too(leaky):
    file = leaky / "foreknow.yaml"
    project = yaml.safe_load(file.read_text())
    project["tasks"]["Buys"]["allow"] = ["label-in-schema"]
    file.write_text(yaml.safe_dump(project))
    prepared = prepare(fk.open(leaky).task("Buys"))
    assert [f.name for f in prepared.audit.allowed] == ["label-in-schema"]
    project["tasks"]["Buys"]["allow"] = ["label-in-shema"]
    file.write_text(yaml.safe_dump(project))
    with pytest.raises(ConfigError, match="did you mean 'label-in-schema'"):
        fk.open(leaky).task("Buys")


def test_an_unknown_name_is_an_error_with_a_near_match(market):
    with pytest.raises(ConfigError, match="did you mean 'future-dates'"):
        fk.audit(fk.open(market).task("Buys"), allow=["future-date"])
