"""What notebooks and terminals show."""

import io

import pytest
from rich.console import Console

from foreknow.client.bar import ProgressBar
from foreknow.client.job import Job, describe
from foreknow.client.views import Rows, RunView, SchemaView, TaskPreview, html_table, text_table

EVIL = "<script>alert(1)</script>"


def test_text_in_tables_is_text():
    for html in (
        html_table([[EVIL]], [EVIL], EVIL),
        Rows(values=[{EVIL: EVIL}], columns=(EVIL,), title=EVIL)._repr_html_(),
        Job(None, {"id": EVIL, "kind": EVIL, "status": "FAILED", "error": {"message": EVIL}})._repr_html_(),
        RunView(values={"run_id": "r", "experiment": EVIL, "status": EVIL, "url": f"http://x/{EVIL}"})._repr_html_(),
    ):
        assert "<script" not in html
        assert "&lt;script&gt;" in html


def test_a_table_of_text_is_aligned():
    assert text_table([[1234, None], [0.123456, ["a", "b"]]], ["n", "what"], "T").splitlines() == [
        "T",
        "n       what",
        "1,234   -",
        "0.1235  a, b",
    ]


RUN = {
    "run_id": "r1",
    "run_name": "calm-ape-1",
    "experiment": "D/t/T",
    "status": "FINISHED",
    "url": "http://127.0.0.1:5000/#/x",
    "metric": "auc",
    "metrics": {"val": {"auc": 0.7}},
    "scoreboard": [
        {"model": "majority", "val": {"acc": 0.9, "auc": 0.5, "f1": None}, "test": {"auc": None}, "seconds": 0.0},
        {
            "model": "graph network",
            "val": {"acc": 0.8, "auc": 0.7, "f1": None},
            "val_interval": [0.6, 0.81],
            "test": {"auc": None},
            "seconds": 1.5,
        },
    ],
    "verdict": "The graph network adds <nothing>.",
}


def test_a_run_shows_its_scoreboard_without_empty_columns():
    run = RunView(values=RUN)
    assert run.scoreboard.columns == ("model", "val auc", "val 95%", "val acc", "seconds")
    assert "graph network  0.7      0.6 to 0.81  0.8" in repr(run)
    assert repr(run).endswith("The graph network adds <nothing>.")
    assert "adds &lt;nothing&gt;." in run._repr_html_()
    assert 'href="http://127.0.0.1:5000/#/x"' in run._repr_html_()
    assert run.metrics == {"val": {"auc": 0.7}}


def test_a_run_without_a_scoreboard_says_where_it_stands():
    run = RunView(values={"run_id": "r1", "experiment": "D/t/T", "status": "RUNNING"})
    assert repr(run) == "D/t/T, run r1: RUNNING"
    assert run._repr_html_() == "<p>D/t/T, run r1: RUNNING</p>"


def test_a_preview_shows_splits_and_warnings():
    values = {
        "experiment": "D/t/T",
        "task": {"metric": "auc"},
        "splits": [{"split": "train", "rows": 3}],
        "findings": [
            {"severity": "warning", "message": "look", "hint": "there"},
            {"severity": "info", "message": "never mind"},
        ],
    }
    preview = TaskPreview(values=values)
    assert repr(preview).endswith("warning: look")
    assert "<i>there</i>" in preview._repr_html_()
    assert "never mind" not in preview._repr_html_()


def test_a_schema_is_a_picture_and_a_text():
    view = SchemaView(values={"svg": "<svg/>", "text": "a -> b", "yaml": "tables:", "notes": []})
    assert (view._repr_svg_(), repr(view), view.yaml, view.notes) == ("<svg/>", "a -> b", "tables:", [])


RUNNING = {"id": "j", "kind": "train", "status": "RUNNING"}
AT = {"stage": "training", "epoch": 2, "epochs": 5, "step": 3, "steps": 9, "loss": 0.25, "time_left_s": 61.4}


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"status": "QUEUED", "queue_position": 2}, "QUEUED, 2 before it"),
        ({"status": "QUEUED", "queue_position": 0}, "QUEUED"),
        ({"status": "COMPLETED"}, "COMPLETED"),
        ({"status": "FAILED", "error": {"message": "no\nHint: x"}}, "FAILED: no"),
        ({"status": "FAILED", "error": {"message": ""}}, "FAILED: "),
        (RUNNING, "RUNNING, starting"),
        ({**RUNNING, "stopping": "cancel"}, "RUNNING, stopping"),
        ({**RUNNING, "progress": AT}, "RUNNING, epoch 2/5, step 3/9, loss 0.2500, 61 s left"),
    ],
)
def test_where_a_job_stands_is_a_line(values, line):
    assert describe(values) == line


def test_the_bar_shows_how_far_a_job_is():
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with ProgressBar(console=console) as bar:
        bar.show({**RUNNING, "progress": AT})
        assert (bar._progress.tasks[0].completed, bar._progress.tasks[0].total) == (12, 45)
    assert "epoch 2/5" in console.file.getvalue()


def test_there_is_no_bar_where_nobody_looks():
    console = Console(file=io.StringIO())
    with ProgressBar(console=console) as bar:
        bar.show({**RUNNING, "progress": AT})
    assert console.file.getvalue() == ""
